//! What became of each recipient: the log line and the outcome for the scheduler, in one place.
//!
//! Every agent reports through a [`Reporter`]; a recipient it says nothing of counts as deferred. With `soft_bounce` a
//! permanent failure is logged as SOFTBOUNCE and deferred (postconf(5)). For `sendmail -v` and `-bv` every result is traced;
//! with `-bv` nothing is delivered, and whatever the agent found out is the end of it (`deliverable`, `undeliverable`).

use crate::{Deps, status_filter::StatusFilter};
use base_calls::{Delivery, DeliveryReport, Diagnosis, Mode, Notify, Outcome, Recipient, Target, Timestamp};
use base_conf::{Config, Error, Service};
use base_log::{
    Log, Source,
    lines::{Delays, Delivery as DeliveryLine, DeliveryStatus},
};
use proto_dsn::Status;
use std::{borrow::Cow, sync::Arc};

/// Who reports: an agent's own name and settings.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The log.
    pub log: Log,
    /// `postfix/smtp`.
    pub program: Arc<str>,
    /// `soft_bounce`.
    pub soft_bounce: bool,
    /// `*_delivery_status_filter`.
    filter: Option<Arc<StatusFilter>>,
}

impl Identity {
    /// From the service's view of the configuration.
    pub fn new(service: &Service, cfg: &Config, deps: &Deps) -> Result<Self, Error> {
        let program = format!("{}/{}", cfg.str("syslog_name")?, service.command);
        Ok(Self {
            log: deps.log.clone(),
            program: program.into(),
            soft_bounce: cfg.bool("soft_bounce")?,
            filter: StatusFilter::open(&service.command, cfg, deps)?.map(Arc::new),
        })
    }
}

/// Where a result comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// `host[address]:port`, `local`, `none`.
    pub relay: Arc<str>,
    /// Deliveries over this connection so far.
    pub conn_use: u32,
    /// When the connection was ready; `None`: it never was.
    pub ready: Option<Timestamp>,
    /// What the log says of TLS (`smtp_log_tls_feature_status`).
    pub tls: String,
}

impl Origin {
    /// No relay.
    pub fn none() -> Self {
        Self { relay: "none".into(), conn_use: 0, ready: None, tls: String::new() }
    }

    /// A named place without a connection: `local`.
    pub fn named(relay: &str, ready: Timestamp) -> Self {
        Self { relay: relay.into(), conn_use: 0, ready: Some(ready), tls: String::new() }
    }
}

/// Collects the results of one delivery.
pub(crate) struct Reporter<'a> {
    pub identity: &'a Identity,
    pub source: Source,
    pub delivery: &'a Delivery,
    pub started: Timestamp,
    /// Deliver, report, or only verify.
    pub mode: Mode,
    report: DeliveryReport,
}

impl<'a> Reporter<'a> {
    /// At the start of a delivery.
    pub fn new(identity: &'a Identity, delivery: &'a Delivery) -> Self {
        Self {
            source: identity.log.session_source(identity.program.clone()),
            identity,
            delivery,
            started: Timestamp::now(),
            mode: delivery.message.envelope.mode(),
            report: DeliveryReport::default(),
        }
    }

    /// The envelope's record of a target.
    pub fn recipient(&self, target: &Target) -> Option<&'a Recipient> {
        let index = usize::try_from(target.index).ok()?;
        self.delivery.message.envelope.recipients.get(index)
    }

    /// What the sender wants to hear of a target.
    pub fn notify(&self, target: &Target) -> Notify {
        self.recipient(target).map(|r| r.notify).unwrap_or_default()
    }

    /// Logs a delivery. `notice` makes the success notice, of status and text, when the recipient asked for one.
    pub async fn sent(
        &mut self,
        target: &Target,
        origin: &Origin,
        status: Status,
        text: &str,
        notice: impl FnOnce(Status, &str) -> Option<Diagnosis>,
    ) {
        let (status, text) = self.filtered(status, Cow::Borrowed(text)).await;
        if self.mode != Mode::Deliver {
            let d = notice(status, &text).unwrap_or_default();
            self.tell_sent(target, &target.address, origin, Diagnosis { status, reason: text.into(), ..d });
            return self.report.outcomes.push((target.index, Outcome::Sent(None)));
        }
        self.line(target, &target.address, origin, status, DeliveryStatus::Sent, &text);
        let wanted = self.notify(target).success;
        let notice = if wanted { notice(status, &text).map(Box::new) } else { None };
        self.report.outcomes.push((target.index, Outcome::Sent(notice)));
    }

    /// Status and text as `*_delivery_status_filter` has them.
    async fn filtered<'t>(&self, status: Status, text: Cow<'t, str>) -> (Status, Cow<'t, str>) {
        let Some(filter) = &self.identity.filter else { return (status, text) };
        match filter.instead(status, &text).await {
            Ok(None) => (status, text),
            Ok(Some((status, other))) => (status, other.map_or(text, Cow::Owned)),
            Err(warning) => {
                self.warning(&warning);
                (status, text)
            }
        }
    }

    /// Logs a failure; its status says whether it is temporary.
    pub async fn failed(&mut self, target: &Target, origin: &Origin, diagnosis: Diagnosis) {
        let outcome = self.log_failure(target, &target.address, origin, diagnosis).await;
        self.report.outcomes.push((target.index, outcome));
    }

    /// Logs a failure of `address`, and makes the outcome without reporting it.
    pub async fn log_failure(
        &mut self,
        target: &Target,
        address: &str,
        origin: &Origin,
        mut d: Diagnosis,
    ) -> Outcome {
        let (status, reason) = self.filtered(d.status, Cow::Owned(d.reason)).await;
        (d.status, d.reason) = (status, reason.into());
        if address != target.address {
            d.address = Some(address.to_owned());
        }
        if self.mode == Mode::Verify {
            self.line(target, address, origin, d.status, DeliveryStatus::Undeliverable, &d.reason);
            self.trace(target, origin, "undeliverable", d);
            return Outcome::Sent(None);
        }
        if self.mode == Mode::Report {
            let failed = d.status.class() == 5 && !self.identity.soft_bounce;
            self.trace(target, origin, if failed { "failed" } else { "delayed" }, d.clone());
        }
        if d.status.class() != 5 {
            self.line(target, address, origin, d.status, DeliveryStatus::Deferred, &d.reason);
            return Outcome::Deferred(Box::new(d));
        }
        if self.identity.soft_bounce {
            d.status = d.status.with_class(4);
            self.line(target, address, origin, d.status, DeliveryStatus::SoftBounce, &d.reason);
            return Outcome::Deferred(Box::new(d));
        }
        self.line(target, address, origin, d.status, DeliveryStatus::Bounced, &d.reason);
        Outcome::Failed(Box::new(d))
    }

    /// Logs a delivery of `address`, which stands for the target: status, text, and what a report calls the action.
    /// What was said of it.
    pub async fn log_sent(
        &mut self,
        target: &Target,
        address: &str,
        origin: &Origin,
        d: Diagnosis,
    ) -> (Status, String) {
        let (status, reason) = self.filtered(d.status, Cow::Owned(d.reason)).await;
        let said = (status, reason.into_owned());
        self.tell_sent(target, address, origin, Diagnosis { status, reason: said.1.clone(), ..d });
        said
    }

    fn tell_sent(&mut self, target: &Target, address: &str, origin: &Origin, mut d: Diagnosis) {
        let word = if self.mode == Mode::Verify { DeliveryStatus::Deliverable } else { DeliveryStatus::Sent };
        self.line(target, address, origin, d.status, word, &d.reason);
        if self.mode == Mode::Deliver {
            return;
        }
        if address != target.address {
            d.address = Some(address.to_owned());
        }
        let action = match (self.mode, d.action.take()) {
            (Mode::Verify, _) => "deliverable".to_owned(),
            (_, given) => given.unwrap_or_else(|| "delivered".to_owned()),
        };
        self.trace(target, origin, &action, d);
    }

    /// A line for the report of `sendmail -v` and `-bv`.
    fn trace(&mut self, target: &Target, origin: &Origin, action: &str, mut d: Diagnosis) {
        if &*origin.relay != "none" && !self.delivery.message.envelope.is_probe() {
            d.reason = format!("delivery via {}: {}", origin.relay, d.reason);
        }
        d.action = Some(action.to_owned());
        self.report.traces.push((target.index, d));
    }

    /// Reports an outcome that was logged.
    pub fn outcome(&mut self, target: &Target, outcome: Outcome) {
        self.report.outcomes.push((target.index, outcome));
    }

    /// The destination as a whole cannot be reached.
    pub fn destination_down(&mut self, why: &Diagnosis) {
        self.report.destination_down = Some(Box::new(why.clone()));
    }

    /// Adds what another agent reported.
    pub fn merge(&mut self, report: DeliveryReport) {
        self.report.outcomes.extend(report.outcomes);
        self.report.traces.extend(report.traces);
    }

    /// Adds what another agent traced.
    pub fn traces(&mut self, traces: Vec<(u32, Diagnosis)>) {
        self.report.traces.extend(traces);
    }

    /// The end of the delivery.
    pub fn finish(self) -> DeliveryReport {
        self.report
    }

    /// `QUEUEID: text`.
    pub fn info(&self, text: &str) {
        self.identity.log.info(&self.source, format_args!("{}: {text}", self.delivery.message.id));
    }

    /// How long the message has been here when this delivery began, in the whole seconds that the times of attempts are kept in.
    pub fn waited(&self) -> std::time::Duration {
        let arrival = self.delivery.message.envelope.arrival;
        std::time::Duration::from_secs(self.started.secs().saturating_sub(arrival.secs()))
    }

    /// A line without queue id.
    pub fn note(&self, text: &str) {
        self.identity.log.info(&self.source, text);
    }

    /// `warning: text`.
    pub fn warning(&self, text: &str) {
        self.identity.log.warning(&self.source, text);
    }

    fn line(
        &self,
        target: &Target,
        to: &str,
        origin: &Origin,
        dsn: Status,
        status: DeliveryStatus,
        reason: &str,
    ) {
        let line = DeliveryLine {
            id: self.delivery.message.id,
            to,
            orig_to: self.recipient(target).map_or("", |r| r.original.as_str()),
            relay: &origin.relay,
            conn_use: origin.conn_use,
            delays: self.delays(origin),
            tls: &origin.tls,
            dsn,
            status,
            reason,
        };
        self.identity.log.line(&self.source, &line);
    }

    /// Before the queue manager, in it, connection set-up, transmission.
    fn delays(&self, origin: &Origin) -> Delays {
        let now = Timestamp::now();
        let ready = origin.ready.unwrap_or(now);
        Delays {
            before: self.delivery.activated.since(self.delivery.message.envelope.arrival),
            queue: self.started.since(self.delivery.activated),
            setup: ready.since(self.started),
            transmission: now.since(ready.max(self.started)),
        }
    }
}
