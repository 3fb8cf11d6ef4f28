//! What the server shows of itself over HTTP: `/metrics` for Prometheus, `/health`, `/ready`, and `/status` for `postfix status -v`.
//!
//! Served on `private/metrics` (root and the mail owner), and where `metrics_listen` says. Pages are made when they are
//! asked for; what walks over the whole queue is made every [`queue::FRESH`] at most. A client that is slow or sends
//! nonsense costs a place among [`CLIENTS`] for a few seconds, and nobody else anything.

mod health;
mod http;
mod queue;

use base_log::Log;
use base_metrics::Page;
use base_net::Listener;
use base_spool::Stats;
use http::Reply;
use mail_schedule::Handle;
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::Semaphore;

/// Clients at once on one socket.
const CLIENTS: usize = 16;

/// What is looked at.
pub struct Observed {
    /// For its counts.
    pub log: Log,
    /// The scheduler and the spool behind it.
    pub handle: Handle,
    /// `queue_directory`.
    pub queue_directory: PathBuf,
    /// When the worker was ready.
    pub started: SystemTime,
    /// Sessions under way.
    pub sessions: Arc<dyn Fn() -> usize + Send + Sync>,
    /// `queue_minfree` in bytes.
    pub minfree: u64,
    census: queue::Census,
}

impl Observed {
    /// From now on.
    pub fn new(
        log: Log,
        handle: Handle,
        queue_directory: PathBuf,
        minfree: u64,
        sessions: Arc<dyn Fn() -> usize + Send + Sync>,
    ) -> Self {
        let (started, census) = (SystemTime::now(), queue::Census::default());
        Self { log, handle, queue_directory, started, sessions, minfree, census }
    }

    async fn answer(&self, path: &str) -> Reply {
        match path {
            "/metrics" => Reply::page(self.metrics().await),
            "/health" => Reply::check(&[]),
            "/ready" => Reply::check(&health::ready(self)),
            "/status" => Reply::text(self.status().await),
            _ => Reply::not_found(),
        }
    }

    async fn metrics(&self) -> String {
        let mut page = Page::default();
        page.family("hikyaku_info", "gauge", "The version.");
        page.series("hikyaku_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let started = self.started.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        page.gauge(
            "hikyaku_start_time_seconds",
            "When the worker was ready, in seconds since 1970.",
            started,
        );
        page.gauge("hikyaku_smtpd_sessions", "Sessions of clients under way.", (self.sessions)());
        self.log.metrics().write(&mut page);
        self.census.get(&self.handle).await.write(&mut page);
        spool(&mut page, &self.handle.spool().stats());
        if let Ok(space) = base_sys::disk::space(&self.queue_directory) {
            page.gauge("hikyaku_disk_free_bytes", "Room where the queue is.", space.available);
            page.gauge("hikyaku_disk_size_bytes", "Size of the file system where the queue is.", space.total);
        }
        page.into_text()
    }

    async fn status(&self) -> String {
        let mut out = String::new();
        let up = SystemTime::now().duration_since(self.started).unwrap_or(Duration::ZERO);
        out += &format!("up: {}\n", health::duration(up));
        out += &format!("sessions: {}\n", (self.sessions)());
        out += &format!("queue: {}\n", self.census.get(&self.handle).await);
        let lines = &self.log.metrics().lines;
        out += &format!(
            "log: {} warnings, {} errors, {} lines lost\n",
            lines.warning.get(),
            lines.error.get() + lines.fatal.get(),
            lines.lost.get()
        );
        if let Ok(space) = base_sys::disk::space(&self.queue_directory) {
            out += &format!("disk: {} MiB free\n", space.available >> 20);
        }
        for fault in health::ready(self) {
            out += &format!("not ready: {fault}\n");
        }
        out
    }
}

/// The store's counts.
fn spool(page: &mut Page, s: &Stats) {
    page.counter("hikyaku_spool_committed_total", "Messages made durable.", s.committed);
    page.counter("hikyaku_spool_syncs_total", "Syncs issued; several messages share one.", s.syncs);
    page.gauge("hikyaku_spool_messages", "Messages in the spool.", s.messages);
    page.gauge("hikyaku_spool_segments", "Segment files in use.", s.segments);
    page.gauge("hikyaku_spool_free_segments", "Segment files waiting to be reused.", s.free_segments);
    page.gauge("hikyaku_spool_live_bytes", "Bytes of live records.", s.live_bytes);
    page.gauge("hikyaku_spool_segment_bytes", "Bytes of segment files in use.", s.segment_bytes);
}

/// Answers until the task is dropped.
pub async fn serve(listener: Listener, observed: Arc<Observed>) {
    let slots = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, _)) => {
                let observed = Arc::clone(&observed);
                tokio::spawn(async move {
                    let _slot = slot;
                    http::serve(socket.boxed(), |path| async move { observed.answer(&path).await }).await;
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

#[cfg(test)]
mod tests;
