//! Sends DMARC aggregate reports (`dmarc_report_sender`; an extension): every `dmarc_report_interval`, what cleanup has counted in
//! `dmarc_report_map`, to those whom the domains' records name and who agree (RFC 7489 7.1, 7.2).
//!
//! One task as long as the process lives; it reads the settings of the stages that hold now. Counts of a report that could not be
//! queued are put back. Without a sender it asks nothing and sends nothing.

use crate::stages::Stages;
use arc_swap::ArcSwap;
use base_auth::{
    dmarc::{
        Record,
        report::{self, Report, Row},
    },
    lookup::Dns,
};
use base_cache::{Cache, Caches};
use base_calls::{Envelope, Origin, Recipient, Submit, SubmitError, SubmitOptions, Timestamp};
use base_conf::{Config, Error};
use base_dns::Resolver;
use base_log::{Log, Source};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How often it is looked whether reports are due.
const LOOK: Duration = Duration::from_secs(60);
/// The entry that tells since when messages are counted.
const SINCE: &str = "since";
/// The most rows of a report.
const MAX_ROWS: usize = 5_000;

/// What reports are made with.
pub struct Reports {
    sender: String,
    organization: String,
    interval: u64,
    cache: Arc<Cache>,
    resolver: Resolver,
    submit: Arc<dyn Submit>,
    log: Log,
    source: Source,
}

impl Reports {
    /// `None`: nobody sends reports.
    pub fn from_config(
        cfg: &Config,
        caches: &Caches,
        resolver: &Resolver,
        submit: Arc<dyn Submit>,
        log: &Log,
    ) -> Result<Option<Self>, Error> {
        let sender = cfg.str("dmarc_report_sender")?;
        if sender.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            sender,
            organization: cfg.str("myhostname")?,
            interval: cfg.time("dmarc_report_interval")?.as_secs(),
            cache: caches.open(&cfg.str("dmarc_report_map")?),
            resolver: resolver.clone(),
            submit,
            log: log.clone(),
            source: log.session_source(format!("{}/dmarc", cfg.str("syslog_name")?)),
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
        for (domain, rows) in self.take() {
            if let Err(e) = self.report(&domain, &rows, (since, now)).await {
                self.log.warning(&self.source, format!("report for {domain}: {e}"));
                self.put_back(&rows);
            }
        }
    }

    /// All that was counted, by domain.
    fn take(&self) -> BTreeMap<String, Vec<(Row, u64)>> {
        let mut out: BTreeMap<String, Vec<(Row, u64)>> = BTreeMap::new();
        self.cache.retain(|key, count| {
            let Some((row, count)) = Row::parse(key).zip(count.parse().ok()) else { return key == SINCE };
            let rows = out.entry(row.policy_domain.clone()).or_default();
            let room = rows.len() < MAX_ROWS;
            if room {
                rows.push((row, count));
            }
            !room
        });
        out
    }

    fn put_back(&self, rows: &[(Row, u64)]) {
        for (row, count) in rows {
            let newer = self.cache.get(&row.key()).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            self.cache.put(&row.key(), &newer.saturating_add(*count).to_string());
        }
    }

    async fn report(&self, domain: &str, rows: &[(Row, u64)], span: (u64, u64)) -> Result<(), SubmitError> {
        let Some(record) = self.record(domain).await else { return Ok(()) };
        let id = format!("{}.{}.{domain}", span.0, span.1);
        let report = Report {
            organization: &self.organization,
            address: &self.sender,
            id: &id,
            span,
            domain,
            record: &record,
            rows,
        };
        let Ok(attached) = report::compressed(&report) else { return Ok(()) };
        for address in &record.reports_to {
            if self.wants(domain, address).await {
                let date = Timestamp::now().mail_date();
                self.send(address, &report::message(&report, address, &date, &attached)).await?;
            }
        }
        Ok(())
    }

    async fn record(&self, domain: &str) -> Option<Record> {
        let texts = Dns::txt(&self.resolver, &format!("_dmarc.{domain}")).await.ok()?;
        texts.iter().find_map(|t| Record::parse(t))
    }

    /// Whether an address of another domain has agreed to get reports about this one.
    async fn wants(&self, domain: &str, address: &str) -> bool {
        let Some(name) = report::consent(domain, address) else { return true };
        let answer = Dns::txt(&self.resolver, &name).await.unwrap_or_default();
        answer.iter().any(|t| t.starts_with(b"v=DMARC1"))
    }

    async fn send(&self, to: &str, content: &[u8]) -> Result<(), SubmitError> {
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

/// Looks for reports that are due, for good.
pub async fn run(stages: Arc<ArcSwap<Stages>>) {
    loop {
        let stages = stages.load_full();
        let pause = match &stages.dmarc_reports {
            Some(reports) => {
                reports.look(Timestamp::now().secs()).await;
                LOOK.min(Duration::from_secs(reports.interval.max(1)))
            }
            None => LOOK,
        };
        drop(stages);
        tokio::time::sleep(pause).await;
    }
}
