//! Aggregate reports to other domains about mail in their name or mail to them (extensions): one file per kind.
//!
//! Stages count in a cache, whose keys are rows of text, the domain first ([`Cache::add`]). [`run`] has one task per kind, which lives
//! as long as it and reads the settings that hold now: when the interval is over, it takes all counts out of the cache and hands
//! those of each domain to the kind's `send`. Counts of a report that cannot be sent are put back. Without a sender nothing
//! is counted, asked or sent.

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
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// How often it is looked whether reports are due.
const LOOK: Duration = Duration::from_secs(60);
/// The entry that tells since when it is counted.
const SINCE: &str = "since";
/// The most rows of a report.
const MAX_ROWS: usize = 5_000;
/// Between the fields of a row.
const SEPARATOR: char = '\t';

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
    domain: String,
    rows: Vec<(String, u64)>,
    /// Seconds since 1970: from, to.
    span: (u64, u64),
}

impl Batch {
    /// Unique among our reports of a kind.
    fn id(&self) -> String {
        format!("{}.{}.{}", self.span.0, self.span.1, self.domain)
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
        for (domain, rows) in take(&self.cache) {
            let batch = Batch { domain, rows, span: (since, now) };
            if let Err(e) = (self.kind.send)(self, &batch).await {
                self.log.warning(&self.source, format!("report for {}: {e}", batch.domain));
                batch.rows.iter().for_each(|(row, count)| self.cache.add(row, *count));
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

/// All that was counted, by domain. What is too much for one report stays for the next.
fn take(cache: &Cache) -> BTreeMap<String, Vec<(String, u64)>> {
    let mut out: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    cache.retain(|key, count| {
        let Some((domain, _)) = key.split_once(SEPARATOR) else { return key == SINCE };
        let Ok(count) = count.parse() else { return false };
        let rows = out.entry(domain.to_owned()).or_default();
        let room = rows.len() < MAX_ROWS;
        if room {
            rows.push((key.to_owned(), count));
        }
        !room
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted() {
        let caches = Caches::new(Arc::new(|_| ()));
        let cache = caches.open("");
        for (key, count) in [("a.test\tx", 1), ("b.test\tx", 2), ("a.test\ty", 3), ("since", 4), ("odd", 5)] {
            cache.add(key, count);
        }
        (0..MAX_ROWS + 2).for_each(|i| cache.add(&format!("c.test\t{i}"), 1));
        let taken = take(&cache);
        let mut rows = taken["a.test"].clone();
        rows.sort();
        assert_eq!(rows, [("a.test\tx".to_owned(), 1), ("a.test\ty".to_owned(), 3)]);
        assert_eq!((taken.len(), taken["c.test"].len()), (3, MAX_ROWS));
        // Since when it is counted stays, and what was too much.
        assert_eq!((cache.get(SINCE).as_deref(), cache.get("odd")), (Some("4"), None));
        assert_eq!(take(&cache)["c.test"].len(), 2);
    }
}
