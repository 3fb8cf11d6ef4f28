//! Which addresses can be delivered to: verify(8), ADDRESS_VERIFICATION_README.
//!
//! [`Verifier`] answers `reject_unverified_sender` and `reject_unverified_recipient` from a cache and sends
//! probes: messages that go through rewriting, routing and the next server's RCPT, and are never delivered. What became of a
//! probe comes back as the notice about it: [`ProbeResults`] stands before the notifier and takes those. Nothing here
//! fails: an address that cannot be probed is unknown for now.

mod config;
mod probe;
mod record;
mod results;
#[cfg(test)]
mod tests;

pub use config::VerifyConfig;
pub use results::ProbeResults;

use base_cache::{Cache, Caches};
use base_calls::{Deliverable, Fut, Submit, Verified, Verify};
use base_log::{Log, Source};
use record::{Record, key};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{sync::Notify, time::Instant};

/// What a client hears while nothing is known.
const IN_PROGRESS: &str = "Address verification in progress";
/// The key under which a cache remembers when it was last cleaned.
const CLEANED: &str = "_LAST_CACHE_CLEANUP_COMPLETED_";
/// How long a probe may take before another is sent.
const PROBE_TIME: u64 = 1000;

/// The service.
#[derive(Clone)]
pub struct Verifier {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    config: VerifyConfig,
    caches: Arc<Caches>,
    /// Opened by the first question.
    cache: OnceLock<Arc<Cache>>,
    submit: Arc<dyn Submit>,
    log: Log,
    source: Source,
    /// An address became known.
    news: Notify,
    /// Probes under way, and when they were sent.
    pending: Mutex<HashMap<String, u64>>,
}

/// Who sends the probe that is due.
enum Claim {
    Ours,
    /// Somebody who asked at the same moment.
    Other,
    /// Nobody: `address_verify_pending_request_limit`.
    Full,
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

impl Verifier {
    /// A service over `address_verify_map`, which is opened at the first question; probes go to `submit`.
    pub fn new(config: VerifyConfig, caches: Arc<Caches>, submit: Arc<dyn Submit>, log: Log) -> Self {
        let source = log.session_source(format!("{}/verify", config.syslog_name));
        let (news, pending) = (Notify::new(), Mutex::default());
        let cache = OnceLock::new();
        Self { shared: Arc::new(Shared { config, caches, cache, submit, log, source, news, pending }) }
    }

    async fn ask(&self, address: &str, wait: Duration) -> Verified {
        let end = Instant::now() + wait;
        loop {
            let news = self.shared.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            let answer = self.shared.query(address).await;
            if answer.status != Deliverable::Unknown || Instant::now() >= end {
                return answer;
            }
            let _ = tokio::time::timeout_at(end, news).await;
        }
    }
}

impl Verify for Verifier {
    fn verify<'a>(&'a self, address: &'a str, wait: Duration) -> Fut<'a, Verified> {
        Box::pin(self.ask(address, wait))
    }
}

impl Shared {
    fn cache(self: &Arc<Self>) -> &Cache {
        self.cache.get_or_init(|| {
            let cache = self.caches.open(&self.config.map);
            if cache.get(CLEANED).is_none() && !self.config.cleanup_interval.is_zero() {
                self.clean(&cache, now());
            }
            self.keep_clean();
            cache
        })
    }

    /// Removes what has expired, every `address_verify_cache_cleanup_interval`, for as long as the service is there.
    fn keep_clean(self: &Arc<Self>) {
        let every = self.config.cleanup_interval;
        if every.is_zero() {
            return;
        }
        let shared = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let Some(wait) = shared.upgrade().map(|s| s.until_cleaning(every)) else { return };
                tokio::time::sleep(wait).await;
                let Some(shared) = shared.upgrade() else { return };
                shared.clean(shared.cache(), now());
            }
        });
    }

    /// How long until the next cleaning; one that was never cleaned is cleaned at once.
    fn until_cleaning(self: &Arc<Self>, every: Duration) -> Duration {
        let (cache, now) = (self.cache(), now());
        match cache.get(CLEANED).and_then(|text| text.parse::<u64>().ok()) {
            Some(last) => every.saturating_sub(Duration::from_secs(now.saturating_sub(last))),
            None => Duration::ZERO,
        }
    }

    /// What is known now; sends a probe when one is due.
    async fn query(self: &Arc<Self>, address: &str) -> Verified {
        let (key, now) = (key(address), now());
        let known = self.known(&key, now);
        if !known.is_due(&self.config, now) {
            return known.answer();
        }
        match self.claim(&key, now) {
            Claim::Other => return known.answer(),
            Claim::Full => {
                let text = "Too many address verification requests".to_owned();
                return Verified { status: Deliverable::Deferred, text };
            }
            Claim::Ours => {}
        }
        self.cache().put(&key, &Record { probed: now, ..known.clone() }.text());
        if let Err(e) = probe::send(&self.config, &*self.submit, address, now).await {
            self.log.warning(&self.source, format_args!("no probe for <{address}>: {e}"));
            self.pending().remove(&key);
        }
        known.answer()
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a probe, if there is room for one more and nobody else sends one.
    fn claim(&self, key: &str, now: u64) -> Claim {
        let mut pending = self.pending();
        let is_over = |sent: &u64| sent.saturating_add(PROBE_TIME) < now;
        if pending.get(key).is_some_and(|sent| !is_over(sent)) {
            return Claim::Other;
        }
        if pending.len() >= self.config.pending_limit {
            pending.retain(|_, sent| !is_over(sent));
        }
        if pending.len() >= self.config.pending_limit {
            return Claim::Full;
        }
        pending.insert(key.to_owned(), now);
        Claim::Ours
    }

    fn known(self: &Arc<Self>, key: &str, now: u64) -> Record {
        let record = self.cache().get(key).and_then(|text| Record::parse(&text));
        record.filter(|r| !r.is_expired(&self.config, now)).unwrap_or_else(Record::unknown)
    }

    /// A probe came to this.
    fn update(self: &Arc<Self>, address: &str, status: Deliverable, text: &str) {
        let (key, now) = (key(address), now());
        self.pending().remove(&key);
        if status != Deliverable::Yes && !self.config.negative_cache {
            // Not kept, but for those who wait for it now.
            self.cache().put(&key, &Record { status, probed: now, updated: 0, text: text.to_owned() }.text());
        } else if status == Deliverable::Yes || self.known(&key, now).status != Deliverable::Yes {
            self.cache().put(&key, &Record { status, probed: 0, updated: now, text: text.to_owned() }.text());
        }
        self.news.notify_waiters();
    }

    fn clean(&self, cache: &Cache, now: u64) {
        cache.put(CLEANED, &now.to_string());
        let (kept, gone) = cache.retain(|key, text| match Record::parse(text) {
            Some(record) => !record.is_expired(&self.config, now),
            None => key == CLEANED,
        });
        let map = if self.config.map.is_empty() { "internal:verify" } else { &self.config.map };
        let kept = kept.saturating_sub(1);
        let text = format_args!("cache {map} full cleanup: retained={kept} dropped={gone} entries");
        self.log.info(&self.source, text);
    }
}
