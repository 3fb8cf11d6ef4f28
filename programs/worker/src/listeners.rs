//! Accepting connections on the sockets that master hands over.
//!
//! One task for each listener; one more for each session. A listener that master closes ends; its sessions go on. At a
//! process limit that the administrator has written down (maxproc, default_process_limit) new clients wait in the kernel's
//! queue, as with Postfix. Beyond what the process has room for they are told to come back later ([`shed`]).

use crate::{
    Process,
    control::{self, Access},
    fixed::Fixed,
    observe::{self, Observed},
    shed::Shed,
    showq,
    stages::Stages,
};
use arc_swap::ArcSwap;
use base_net::{Listener, PeerAddr, Socket};
use base_sys::handoff::ListenerKey;
use mail_schedule::Handle;
use std::{
    collections::HashMap,
    future::Future,
    os::fd::OwnedFd,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, task::JoinHandle};

/// How the listeners of `metrics_listen` are named by master.
const METRICS: &str = "metrics_listen/";
/// And those of `tls_acme_listen`.
const ACME: &str = "tls_acme_listen/";

/// Sessions under way, of all listeners.
#[derive(Default)]
struct Sessions {
    count: AtomicUsize,
    ended: Notify,
}

/// Counts one session for as long as it lives.
struct Session {
    all: Arc<Sessions>,
    of_service: Arc<Sessions>,
}

impl Session {
    fn begin(all: &Arc<Sessions>, of_service: &Arc<Sessions>) -> Self {
        for s in [all, of_service] {
            s.count.fetch_add(1, Ordering::SeqCst);
        }
        Self { all: Arc::clone(all), of_service: Arc::clone(of_service) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for s in [&self.all, &self.of_service] {
            s.count.fetch_sub(1, Ordering::SeqCst);
            s.ended.notify_waiters();
        }
    }
}

impl Sessions {
    /// Waits until fewer than `limit` are under way.
    async fn below(&self, limit: usize) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.count.load(Ordering::SeqCst) < limit {
                return;
            }
            ended.await;
        }
    }
}

/// All listening sockets.
#[derive(Default)]
pub struct Listeners {
    waiting: Vec<(ListenerKey, OwnedFd)>,
    running: HashMap<ListenerKey, JoinHandle<()>>,
    services: HashMap<String, Arc<Sessions>>,
    all: Arc<Sessions>,
    observed: OnceLock<Arc<Observed>>,
}

impl Listeners {
    /// A new socket; it is served from the next [`Listeners::start_new`] on.
    pub fn add(&mut self, key: ListenerKey, fd: OwnedFd) {
        self.waiting.push((key, fd));
    }

    /// No more connections from this one.
    pub fn close(&mut self, key: &ListenerKey) {
        self.waiting.retain(|(k, _)| k != key);
        if let Some(task) = self.running.remove(key) {
            task.abort();
        }
    }

    /// No more connections at all.
    pub fn close_all(&mut self) {
        self.waiting.clear();
        self.running.drain().for_each(|(_, task)| task.abort());
    }

    /// Returns when no session is under way.
    pub async fn idle(&self) {
        self.all.below(1).await;
    }

    /// Sessions under way.
    pub fn sessions(&self) -> usize {
        self.all.count.load(Ordering::SeqCst)
    }

    /// Serves what was added.
    pub fn start_new(&mut self, process: &Process, fixed: &Fixed, stages: &Arc<ArcSwap<Stages>>) {
        for (key, fd) in std::mem::take(&mut self.waiting) {
            match Listener::from_fd(fd) {
                Ok(listener) => self.start(key, listener, process, fixed, stages),
                Err(e) => process.log.error(&process.source, format!("{}: {e}", key.address)),
            }
        }
    }

    fn start(
        &mut self,
        key: ListenerKey,
        listener: Listener,
        process: &Process,
        fixed: &Fixed,
        stages: &Arc<ArcSwap<Stages>>,
    ) {
        let (Ok(handle), stages) = (fixed.handle().cloned(), Arc::clone(stages)) else { return };
        let about = |handle| control::About { handle, decisions: Arc::clone(&fixed.decisions) };
        let task = match (key.address.as_str(), listener) {
            ("private/control", Listener::Unix(l)) => {
                spawn(control::serve(l, Access::Private, about(handle)))
            }
            ("public/qmgr" | "public/flush", Listener::Unix(l)) => {
                spawn(control::serve(l, Access::Public, about(handle)))
            }
            ("public/showq", Listener::Unix(l)) => {
                spawn(showq::serve(l, handle, fixed.queue_directory.clone()))
            }
            ("private/metrics", listener) => {
                spawn(observe::serve(listener, self.observed(process, fixed, handle)))
            }
            (_, listener) if key.service.starts_with(METRICS) => {
                spawn(observe::serve(listener, self.observed(process, fixed, handle)))
            }
            (_, listener) if key.service.starts_with(ACME) => spawn(fixed.acme.serve(listener)),
            ("public/pickup", listener) => spawn(pickup(listener, stages)),
            (_, listener) => {
                let service = Arc::clone(self.services.entry(key.service.clone()).or_default());
                let smtpd = Smtpd {
                    service: key.service.clone(),
                    sessions: service,
                    all: Arc::clone(&self.all),
                    stages,
                    shed: Shed::new(process),
                };
                spawn(smtpd.serve(listener, process.log.clone(), process.source.clone()))
            }
        };
        self.running.insert(key, task);
    }
}

impl Listeners {
    /// The view of the server that monitors get; the same for all sockets.
    fn observed(&self, process: &Process, fixed: &Fixed, handle: Handle) -> Arc<Observed> {
        let all = Arc::clone(&self.all);
        let sessions = Arc::new(move || all.count.load(Ordering::Relaxed));
        let made = || {
            let folder = fixed.queue_directory.clone();
            Arc::new(Observed::new(process.log.clone(), handle, folder, fixed.minfree, sessions))
        };
        Arc::clone(self.observed.get_or_init(made))
    }
}

fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        work.await;
    })
}

/// Any connection to `public/pickup` is a wake-up call.
async fn pickup(listener: Listener, stages: Arc<ArcSwap<Stages>>) {
    loop {
        match listener.accept().await {
            Ok(_) => stages.load().pickup.wake(),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The listeners of one smtpd service.
struct Smtpd {
    service: String,
    sessions: Arc<Sessions>,
    all: Arc<Sessions>,
    stages: Arc<ArcSwap<Stages>>,
    shed: Shed,
}

impl Smtpd {
    async fn serve(mut self, listener: Listener, log: base_log::Log, source: base_log::Source) {
        loop {
            let limit = self.stages.load().limit(&self.service);
            if limit.sessions > 0 {
                self.sessions.below(limit.sessions).await;
            }
            match listener.accept().await {
                Ok((socket, _)) if !self.shed.has_room(self.all.count.load(Ordering::SeqCst)) => {
                    self.shed.refuse(socket);
                }
                Ok((socket, peer)) => self.begin(socket, peer, limit.stress, &log),
                Err(e) if Shed::is_out_of_descriptors(&e) => self.shed.refuse_next(&listener).await,
                Err(e) => {
                    log.warning(&source, format!("accept connection: {e}"));
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    fn begin(&self, socket: Socket, peer: PeerAddr, stress: usize, log: &base_log::Log) {
        let server = match self.stages.load().server(&self.service) {
            Some(Ok(server)) => server,
            Some(Err(refused)) => {
                let source = log.session_source(refused.source_name);
                refused.error.warnings().iter().for_each(|w| log.warning(&source, w));
                log.fatal(&source, refused.error);
                return;
            }
            None => return,
        };
        let session = Session::begin(&self.all, &self.sessions);
        let stressed = stress > 0 && self.sessions.count.load(Ordering::SeqCst) >= stress;
        let local = socket.local().unwrap_or(peer);
        tokio::spawn(async move {
            let _session = session;
            server.serve_under(socket.boxed(), peer, local, stressed).await;
        });
    }
}
