//! A relay host without brackets is a domain whose MX hosts are looked up.

use super::Rule;
use crate::{Finding, Severity, Site};
use std::net::IpAddr;

/// The record.
pub const RULE: Rule = Rule {
    name: "relayhost",
    finds: "a relayhost that is a host but is looked up as a domain, or that cannot be one",
    severity: Severity::Warning,
    example: &[("main.cf", "relayhost = smtp.example.com:587\n")],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let Some(s) = site.setting("relayhost").filter(|s| !s.expanded.is_empty()) else { return Vec::new() };
    let at = |text: String| crate::site::place(&s.text.file, s.line, text);
    let value = s.expanded.trim();
    if value.contains([' ', ',']) && !value.starts_with('[') {
        let what = format!("relayhost: \"{value}\" is more than one host");
        return vec![at(what).hint("further hosts belong into smtp_fallback_relay")];
    }
    if value.starts_with('[') {
        return (!value.contains(']'))
            .then(|| {
                at(format!("relayhost: \"{value}\" has no closing bracket"))
                    .severity(Severity::Error)
                    .meant(&format!("{value}]"))
            })
            .into_iter()
            .collect();
    }
    if let Some(rest) = value.strip_prefix("smtp:") {
        return vec![at("relayhost: a transport has no place here".to_owned()).meant(rest)];
    }
    let (host, port) = match value.rsplit_once(':') {
        Some((host, port)) => (host, port),
        None => (value, ""),
    };
    let meant = if port.is_empty() { format!("[{host}]") } else { format!("[{host}]:{port}") };
    if host.parse::<IpAddr>().is_ok() {
        return vec![at(format!("relayhost: the address {host} needs brackets")).meant(&meant)];
    }
    // Mail submission ports belong to hosts, never to domains.
    if matches!(port, "587" | "465" | "submission" | "submissions" | "smtps" | "2525") {
        let what = format!("relayhost: the MX hosts of \"{host}\" are asked, not {host} itself");
        return vec![at(what).meant(&meant)];
    }
    Vec::new()
}
