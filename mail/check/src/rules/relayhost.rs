//! A relay host without brackets is a domain whose MX hosts are looked up.

use super::Rule;
use crate::{Finding, Severity, Site, setting::Word};
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
    let Some(s) = site.setting("relayhost") else { return Vec::new() };
    let found = |w: &Word| fault(&w.text, |text| crate::site::place(&s.text.file, w.line, text));
    s.words().iter().filter_map(found).collect()
}

/// What is wrong with one of the destinations.
fn fault(value: &str, at: impl FnOnce(String) -> Finding) -> Option<Finding> {
    if value.starts_with('[') {
        let open = || at(format!("relayhost: \"{value}\" has no closing bracket"));
        return (!value.contains(']')).then(|| open().severity(Severity::Error).meant(&format!("{value}]")));
    }
    if let Some(rest) = value.strip_prefix("smtp:") {
        return Some(at("relayhost: a transport has no place here".to_owned()).meant(rest));
    }
    let (host, port) = value.rsplit_once(':').unwrap_or((value, ""));
    let meant = if port.is_empty() { format!("[{host}]") } else { format!("[{host}]:{port}") };
    if host.parse::<IpAddr>().is_ok() {
        return Some(at(format!("relayhost: the address {host} needs brackets")).meant(&meant));
    }
    // Mail submission ports belong to hosts, never to domains.
    if matches!(port, "587" | "465" | "submission" | "submissions" | "smtps" | "2525") {
        let what = format!("relayhost: the MX hosts of \"{host}\" are asked, not {host} itself");
        return Some(at(what).meant(&meant));
    }
    None
}
