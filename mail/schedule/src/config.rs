//! The scheduler's snapshot of main.cf and master.cf: limits of each transport, times of the queue.
//!
//! qmgr(8) "CONFIGURATION PARAMETERS".

use crate::core::TransportLimits;
use crate::feedback::{Feedback, Rules};
use crate::slots::SlotRules;
use base_conf::{Config, Error, MasterCf, ServiceKind};
use std::collections::HashMap;
use std::time::Duration;

/// See the module.
#[derive(Debug, Clone)]
pub struct ScheduleConfig {
    /// `syslog_name`.
    pub syslog_name: String,
    /// `qmgr_message_active_limit`.
    pub active_messages: usize,
    /// `qmgr_message_recipient_limit`.
    pub active_recipients: usize,
    /// `qmgr_message_recipient_minimum`.
    pub recipient_minimum: usize,
    /// Content kept in memory for messages that are being delivered.
    pub content_memory: u64,
    /// `queue_run_delay`.
    pub queue_run_delay: Duration,
    /// `minimal_backoff_time`.
    pub minimal_backoff: Duration,
    /// `maximal_backoff_time`.
    pub maximal_backoff: Duration,
    /// `maximal_queue_lifetime`.
    pub lifetime: Duration,
    /// `bounce_queue_lifetime`, for the null sender.
    pub bounce_lifetime: Duration,
    /// `delay_warning_time`; zero for none.
    pub delay_warning: Duration,
    /// `confirm_delay_cleared`.
    pub confirm_delay_cleared: bool,
    /// `defer_transports`.
    pub defer_transports: Vec<String>,
    /// `double_bounce_sender`, lower case.
    pub double_bounce: String,
    /// `default_filter_nexthop`; empty: the recipient's domain.
    pub filter_nexthop: String,
    transports: HashMap<String, TransportLimits>,
    other: TransportLimits,
}

impl ScheduleConfig {
    /// Reads all of it; limits are made for every `unix` service of master.cf.
    pub fn from_config(cfg: &Config, master: &MasterCf) -> Result<Self, Error> {
        let bounce_lifetime = cfg.time("bounce_queue_lifetime")?;
        let process_limit = u32_of(cfg.int("default_process_limit")?);
        let mut transports = HashMap::new();
        for service in master.services.iter().filter(|s| s.kind == ServiceKind::Unix) {
            let processes = service.maxproc.map_or(process_limit, no_limit);
            transports.insert(service.name.clone(), limits(cfg, &service.name, processes)?);
        }
        Ok(Self {
            syslog_name: cfg.str("syslog_name")?,
            active_messages: count(cfg.int("qmgr_message_active_limit")?),
            active_recipients: count(cfg.int("qmgr_message_recipient_limit")?),
            recipient_minimum: count(cfg.int("qmgr_message_recipient_minimum")?),
            content_memory: 64 << 20,
            queue_run_delay: cfg.time("queue_run_delay")?.max(Duration::from_secs(1)),
            minimal_backoff: cfg.time("minimal_backoff_time")?,
            maximal_backoff: cfg.time("maximal_backoff_time")?,
            lifetime: cfg.time("maximal_queue_lifetime")?,
            bounce_lifetime,
            delay_warning: cfg.time("delay_warning_time")?,
            confirm_delay_cleared: cfg.bool("confirm_delay_cleared")?,
            defer_transports: cfg.list("defer_transports")?,
            double_bounce: cfg.str("double_bounce_sender")?.to_ascii_lowercase(),
            filter_nexthop: cfg.str("default_filter_nexthop")?,
            transports,
            other: limits(cfg, "default", process_limit)?,
        })
    }

    /// The limits of a transport.
    pub fn limits(&self, transport: &str) -> TransportLimits {
        self.transports.get(transport).copied().unwrap_or(self.other)
    }

    /// Whether mail for this transport waits for a flush by the administrator.
    pub fn is_deferred(&self, transport: &str) -> bool {
        self.defer_transports.iter().any(|t| t == transport)
    }
}

/// The limits of one transport; of a transport that is not in master.cf for the name `default`.
fn limits(cfg: &Config, name: &str, processes: u32) -> Result<TransportLimits, Error> {
    let own = |suffix: &str| match name {
        "default" if suffix == "initial_destination_concurrency" => suffix.to_owned(),
        _ => format!("{name}_{suffix}"),
    };
    let feedback = |suffix: &str| -> Result<Feedback, Error> {
        let value = cfg.str(&own(suffix))?;
        value.parse().map_err(|e| Error::new(format!("bad feedback value: {} = {value}: {e}", own(suffix))))
    };
    Ok(TransportLimits {
        rules: Rules {
            initial: u32_of(cfg.int(&own("initial_destination_concurrency"))?),
            limit: no_limit(u32_of(cfg.int(&own("destination_concurrency_limit"))?)),
            positive: feedback("destination_concurrency_positive_feedback")?,
            negative: feedback("destination_concurrency_negative_feedback")?,
            failed_cohorts: f64::from(u32_of(cfg.int(&own("destination_concurrency_failed_cohort_limit"))?)),
        },
        recipients: match count(cfg.int(&own("destination_recipient_limit"))?) {
            0 => usize::MAX,
            n => n,
        },
        slots: SlotRules {
            cost: u32_of(cfg.int(&own("delivery_slot_cost"))?),
            discount: u32_of(cfg.int(&own("delivery_slot_discount"))?),
            loan: u32_of(cfg.int(&own("delivery_slot_loan"))?),
            minimum: u32_of(cfg.int(&own("minimum_delivery_slots"))?),
        },
        processes: processes.max(1),
        rate_delay: cfg.time(&own("destination_rate_delay"))?,
        transport_delay: cfg.time(&own("transport_rate_delay"))?,
        dead_time: cfg.time("minimal_backoff_time")?,
        transport_dead_time: cfg.time("transport_retry_time")?,
    })
}

fn u32_of(n: i64) -> u32 {
    u32::try_from(n.max(0)).unwrap_or(u32::MAX)
}

fn no_limit(n: u32) -> u32 {
    if n == 0 { u32::MAX } else { n }
}

fn count(n: i64) -> usize {
    usize::try_from(n.max(0)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "smtp unix - - n - - smtp\nslow unix - - n - 3 smtp\nlocal unix - n n - - local\nbounce unix - - n - 0 bounce\n";

    fn load(main: &str) -> Result<ScheduleConfig, Error> {
        ScheduleConfig::from_config(&Config::from_text(main), &MasterCf::parse(MASTER).expect("master.cf"))
    }

    #[test]
    fn defaults_are_those_of_postconf() {
        let c = load("").expect("defaults");
        assert_eq!(c.queue_run_delay.as_secs(), 300);
        assert_eq!((c.minimal_backoff.as_secs(), c.maximal_backoff.as_secs()), (300, 4000));
        assert_eq!(c.lifetime.as_secs(), 5 * 86400);
        assert_eq!((c.active_messages, c.active_recipients), (20_000, 20_000));
        let smtp = c.limits("smtp");
        assert_eq!((smtp.rules.initial, smtp.rules.limit, smtp.recipients, smtp.processes), (5, 20, 50, 100));
        assert_eq!(c.limits("local").recipients, 1);
        assert_eq!(c.limits("local").rules.limit, 2);
        assert_eq!(c.limits("slow").processes, 3);
        assert_eq!(c.limits("bounce").processes, u32::MAX);
        assert_eq!(c.limits("nosuch").rules.limit, 20);
    }

    #[test]
    fn a_transport_has_its_own() {
        let c = load("slow_destination_concurrency_limit = 2\nslow_destination_recipient_limit=7\nslow_initial_destination_concurrency=1\nslow_destination_rate_delay = 3\ndefault_destination_concurrency_limit=0\nslow_destination_concurrency_positive_feedback = 1/8").expect("config");
        let slow = c.limits("slow");
        assert_eq!((slow.rules.limit, slow.recipients, slow.rules.initial), (2, 7, 1));
        assert_eq!(slow.rate_delay.as_secs(), 3);
        assert_eq!(slow.rules.positive, "0.125".parse().expect("number"));
        assert_eq!(c.limits("smtp").rules.limit, u32::MAX);
    }

    #[test]
    fn bad_feedback_is_an_error() {
        let e = load("smtp_destination_concurrency_negative_feedback = often").expect_err("bad");
        assert!(e.to_string().contains("smtp_destination_concurrency_negative_feedback = often"), "{e}");
    }

    #[test]
    fn every_limit_has_its_name() {
        let c = load(
            "slow_transport_rate_delay = 4s\nslow_destination_concurrency_failed_cohort_limit = 3\nslow_destination_concurrency_negative_feedback = 1/4\nslow_delivery_slot_cost = 6\nslow_delivery_slot_discount = 7\nslow_delivery_slot_loan = 8\nslow_minimum_delivery_slots = 9\ntransport_retry_time = 11s\nminimal_backoff_time = 12s\ndefault_transport_rate_delay = 13s",
        )
        .expect("config");
        let slow = c.limits("slow");
        assert_eq!((slow.transport_delay.as_secs(), slow.rate_delay.as_secs()), (4, 0));
        assert!((slow.rules.failed_cohorts - 3.0).abs() < f64::EPSILON);
        assert_eq!(slow.rules.negative, "0.25".parse().expect("number"));
        let s = slow.slots;
        assert_eq!((s.cost, s.discount, s.loan, s.minimum), (6, 7, 8, 9));
        assert_eq!((slow.transport_dead_time.as_secs(), slow.dead_time.as_secs()), (11, 12));
        assert_eq!(c.limits("smtp").transport_delay.as_secs(), 13);
    }
}
