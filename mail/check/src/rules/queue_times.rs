//! Times of the queue that contradict each other.

use super::Rule;
use crate::{Finding, Severity, Site};
use std::time::Duration;

/// The record.
pub const RULE: Rule = Rule {
    name: "queue-times",
    finds: "queue times that contradict each other: warnings after mail is returned, a shortest pause above the longest",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "maximal_queue_lifetime = 1h\ndelay_warning_time = 4h\nminimal_backoff_time = 2h\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let time = |name: &str| site.config.time(name).unwrap_or_default();
    let set = |names: [&'static str; 2]| names.into_iter().find(|n| site.config.is_set(n));
    let mut out = Vec::new();
    let mut add = |names: [&'static str; 2], bad: bool, text: &str| {
        if let Some(name) = set(names).filter(|_| bad) {
            out.push(site.at_parameter(name, None, text));
        }
    };
    let (life, warning) = (time("maximal_queue_lifetime"), time("delay_warning_time"));
    let (least, most) = (time("minimal_backoff_time"), time("maximal_backoff_time"));
    add(
        ["delay_warning_time", "maximal_queue_lifetime"],
        !warning.is_zero() && warning >= life && !life.is_zero(),
        "delay_warning_time is not below maximal_queue_lifetime: the sender is never warned",
    );
    add(
        ["minimal_backoff_time", "maximal_backoff_time"],
        least > most,
        "minimal_backoff_time is larger than maximal_backoff_time",
    );
    add(
        ["queue_run_delay", "minimal_backoff_time"],
        time("queue_run_delay") > least,
        "queue_run_delay is larger than minimal_backoff_time: mail is tried again later than it should",
    );
    add(
        ["maximal_queue_lifetime", "maximal_backoff_time"],
        !life.is_zero() && life <= most && life < Duration::from_secs(86_400),
        "maximal_queue_lifetime is so short that mail is returned after a few tries: an outage of the other side loses mail",
    );
    out
}
