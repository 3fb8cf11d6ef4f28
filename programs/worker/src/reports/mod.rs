//! Aggregate reports to other domains about mail in their name or mail to them (extensions): one file per kind.
//!
//! Stages count in a cache, whose keys are rows of text, the domain first ([`Cache::add`]). [`run`] has one task per kind, which lives
//! as long as it and reads the settings that hold now: when the interval is over, it takes the counts of one domain after the
//! other out of the cache and hands them to the kind's `send`. Counts of a report that cannot be sent are put back once, and
//! dropped when the next one cannot be sent either. Without a sender nothing is counted, asked or sent.

mod counted;
mod dmarc;
mod mail;
mod tls;

use crate::stages::Stages;
use arc_swap::ArcSwap;
use base_cache::{Cache, Caches};
use base_calls::{Envelope, Fut, Origin, Recipient, Submit, SubmitError, SubmitOptions, Timestamp};
use base_conf::{Config, Error};
use base_dns::{DnsError, Resolver};
use base_log::{Log, Source};
use base_sys::opener::Opener;
use base_tls::Authorities;
use counted::Counted;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// How often it is looked whether reports are due.
const LOOK: Duration = Duration::from_secs(60);
/// For all receivers of a report together.
const PATIENCE: Duration = Duration::from_secs(120);
/// The entry that tells since when it is counted.
const SINCE: &str = "since";

/// A kind of report.
pub struct Kind {
    /// In the log.
    name: &'static str,
    /// The parameter that names the sender.
    sender: &'static str,
    /// … how often reports are sent.
    interval: &'static str,
    /// … the cache.
    map: &'static str,
    /// … whom to trust instead of the system's authorities, for those that go by HTTPS.
    authorities: Option<&'static str>,
    /// Sends what a domain is to know.
    send: for<'a> fn(&'a Reports, &'a Batch) -> Fut<'a, Result<(), String>>,
}

const KINDS: &[Kind] = &[dmarc::KIND, tls::KIND];

/// What was counted for a domain.
pub struct Batch {
    /// The name of its [`Kind`].
    kind: &'static str,
    domain: String,
    rows: Vec<(String, u64)>,
    /// Seconds since 1970: from, to.
    span: (u64, u64),
}

impl Batch {
    /// Unique among our reports.
    fn id(&self) -> String {
        format!("{}.{}.{}.{}", self.kind, self.span.0, self.span.1, self.domain)
    }
}

/// What reports are made with.
pub struct Around<'a> {
    /// Where messages are counted.
    pub caches: &'a Caches,
    /// Who knows what domains want.
    pub resolver: &'a Resolver,
    /// Takes the mail.
    pub submit: Arc<dyn Submit>,
    /// Opens the authorities.
    pub opener: Arc<dyn Opener>,
    /// Gets a line for each report.
    pub log: &'a Log,
}

/// One kind, as it is configured.
pub struct Reports {
    kind: &'static Kind,
    sender: String,
    organization: String,
    interval: u64,
    cache: Arc<Cache>,
    resolver: Resolver,
    submit: Arc<dyn Submit>,
    authorities: Authorities,
    opener: Arc<dyn Opener>,
    log: Log,
    source: Source,
}

/// The kinds that are sent.
pub fn from_config(cfg: &Config, around: &Around<'_>) -> Result<Vec<Arc<Reports>>, Error> {
    let mut all = Vec::new();
    for kind in KINDS {
        all.extend(Reports::open(kind, cfg, around)?.map(Arc::new));
    }
    Ok(all)
}

/// Looks for reports that are due, until it is dropped.
pub async fn run(stages: Arc<ArcSwap<Stages>>) {
    let mut kinds = JoinSet::new();
    for kind in KINDS {
        kinds.spawn(watch(kind, Arc::clone(&stages)));
    }
    while kinds.join_next().await.is_some() {}
}

async fn watch(kind: &'static Kind, stages: Arc<ArcSwap<Stages>>) {
    loop {
        let reports = stages.load().reports.iter().find(|r| r.kind.name == kind.name).cloned();
        let pause = match reports {
            Some(reports) => {
                reports.look(Timestamp::now().secs()).await;
                LOOK.min(Duration::from_secs(reports.interval.max(1)))
            }
            None => LOOK,
        };
        tokio::time::sleep(pause).await;
    }
}

impl Reports {
    /// `None`: nobody sends reports of this kind.
    fn open(kind: &'static Kind, cfg: &Config, around: &Around<'_>) -> Result<Option<Self>, Error> {
        let sender = cfg.str(kind.sender)?;
        if sender.is_empty() {
            return Ok(None);
        }
        let authorities = kind.authorities.map(|name| cfg.str(name)).transpose()?.unwrap_or_default();
        Ok(Some(Self {
            kind,
            sender,
            organization: cfg.str("myhostname")?,
            interval: cfg.time(kind.interval)?.as_secs(),
            cache: around.caches.open(&cfg.str(kind.map)?),
            resolver: around.resolver.clone(),
            submit: Arc::clone(&around.submit),
            authorities: Authorities::file_or_system(&authorities),
            opener: Arc::clone(&around.opener),
            log: around.log.clone(),
            source: around.log.session_source(format!("{}/{}", cfg.str("syslog_name")?, kind.name)),
        }))
    }

    /// Sends what is due.
    async fn look(&self, now: u64) {
        let since = self.cache.get(SINCE).and_then(|t| t.parse::<u64>().ok());
        let due = since.filter(|t| now.saturating_sub(*t) >= self.interval);
        if since.is_none() || due.is_some() {
            self.cache.put(SINCE, &now.to_string());
        }
        let Some(since) = due else { return };
        for (domain, counted) in counted::collect(&self.cache) {
            if counted.surplus > 0 {
                self.warn(&domain, &format!("{} rows too many are left out", counted.surplus));
            }
            // Only now: whatever ends this process in the meantime, the counts of the others are in the cache.
            let rows = counted.take(&self.cache);
            let batch = Batch { kind: self.kind.name, domain, rows, span: (since, now) };
            if let Err(e) = (self.kind.send)(self, &batch).await {
                self.not_sent(&batch, &counted, &e);
            }
        }
    }

    fn not_sent(&self, batch: &Batch, counted: &Counted, why: &str) {
        if counted.failed {
            return self
                .warn(&batch.domain, &format!("{why}; given up, as the last one could not be sent either"));
        }
        self.warn(&batch.domain, why);
        counted::put_back(&self.cache, batch);
    }

    fn warn(&self, domain: &str, text: &str) {
        self.log.warning(&self.source, format!("report for {domain}: {text}"));
    }

    /// Waits for what hands a batch to its receivers, one after the other; each says whether its receiver wants it. An error
    /// when it reached nobody and somebody would have wanted it; else failures are told.
    async fn each(&self, batch: &Batch, sends: Vec<Fut<'_, Result<bool, String>>>) -> Result<(), String> {
        let (mut reached, mut failures) = (false, Vec::new());
        let work = async {
            for send in sends {
                match send.await {
                    Ok(wanted) => reached |= wanted,
                    Err(e) => failures.push(e),
                }
            }
        };
        if tokio::time::timeout(PATIENCE, work).await.is_err() {
            failures.push("timed out".to_owned());
        }
        let text = failures.join("; ");
        match (failures.is_empty(), reached) {
            (true, _) => Ok(()),
            (false, false) => Err(text),
            (false, true) => {
                self.warn(&batch.domain, &text);
                Ok(())
            }
        }
    }

    /// TXT records; none when there is no such name.
    async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, String> {
        match self.resolver.txt(name).await {
            Ok(found) => Ok(found.records),
            Err(DnsError::NotFound | DnsError::NoData) => Ok(Vec::new()),
            Err(e) => Err(e.text(name, "TXT")),
        }
    }

    async fn submit(&self, to: &str, content: &[u8]) -> Result<(), SubmitError> {
        let envelope = Envelope {
            arrival: Timestamp::now(),
            sender: self.sender.clone(),
            origin: Origin::Internal,
            ..Envelope::default()
        };
        let mut submission = self.submit.open(envelope, SubmitOptions::INTERNAL)?;
        submission.recipient(Recipient { address: to.to_owned(), ..Recipient::default() });
        submission.content(content).await?;
        let id = submission.finish().await?.id;
        self.log.info(&self.source, format!("{id}: report to {to}"));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
