//! Limits that contradict each other: messages that are accepted and can never be delivered.

use super::Rule;
use crate::{Finding, Severity, Site};
use base_conf::{Config, Service};

/// The record.
pub const RULE: Rule = Rule {
    name: "size-limits",
    finds: "message_size_limit above mailbox_size_limit or virtual_mailbox_limit: deliveries fail",
    severity: Severity::Error,
    example: &[("main.cf", "message_size_limit = 104857600\n")],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    let view = |command: &str| site.views().find(|(s, _)| s.command == command);
    for (agent, limit) in [("local", "mailbox_size_limit"), ("virtual", "virtual_mailbox_limit")] {
        if agent == "virtual"
            && site.list("virtual_mailbox_domains").is_empty()
            && site.list("virtual_mailbox_maps").is_empty()
        {
            continue;
        }
        let (service, view) = match view(agent) {
            Some((s, v)) => (Some(s), v),
            None => (None, &site.config),
        };
        out.extend(compare(site, service, view, limit));
    }
    out
}

fn compare(site: &Site, service: Option<&Service>, view: &Config, limit: &str) -> Option<Finding> {
    let (message, mailbox) = (view.int("message_size_limit").ok()?, view.int(limit).ok()?);
    if mailbox == 0 || (message > 0 && message <= mailbox) {
        return None;
    }
    let at = if view.is_set(limit) && !site.config.is_set("message_size_limit") {
        limit
    } else {
        "message_size_limit"
    };
    let shown = if message == 0 { "no limit".to_owned() } else { message.to_string() };
    let what = format!("message_size_limit ({shown}) is larger than {limit} ({mailbox})");
    Some(site.at_parameter(at, service, what).hint(format!("raise {limit}, or set it to 0 for no limit")))
}
