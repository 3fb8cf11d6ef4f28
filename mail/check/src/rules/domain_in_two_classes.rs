//! Domains that stand in more than one address class: only the first counts, and the server warns on each message.

use super::Rule;
use crate::{Finding, Severity, Site, files};
use std::path::Path;

/// The record.
pub const RULE: Rule = Rule {
    name: "domain-in-two-classes",
    finds: "domains that are listed in two of mydestination, virtual_alias_domains, virtual_mailbox_domains and relay_domains",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "mydestination = localhost, example.com\nvirtual_mailbox_domains = example.com\nvirtual_alias_domains = example.com\n",
    )],
    run,
};

/// Pairs that must have nothing in common (ADDRESS_CLASS_README, VIRTUAL_README).
const PAIRS: &[(&str, &str)] = &[
    ("virtual_alias_domains", "mydestination"),
    ("virtual_mailbox_domains", "mydestination"),
    ("virtual_alias_domains", "virtual_mailbox_domains"),
    ("relay_domains", "virtual_alias_domains"),
    ("relay_domains", "virtual_mailbox_domains"),
];
/// Files longer than this are not read.
const MAX_TEXT: u64 = 1 << 20;

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    // relay_domains may hold mydestination, and does by default.
    let own_relays = site.setting("relay_domains").is_some_and(|s| !s.value.contains("mydestination"));
    let wanted = |(a, b): &&(&str, &str)| site.config.is_set(a) || site.config.is_set(b);
    for (mine, theirs) in PAIRS.iter().filter(wanted).filter(|(a, _)| *a != "relay_domains" || own_relays) {
        let (a, b) = (domains(site, mine), domains(site, theirs));
        for domain in a.iter().filter(|d| b.contains(d)) {
            let at = if site.config.is_set(mine) { mine } else { theirs };
            let line = site.setting(at).map_or(0, |s| site.main.line_of(s.line, domain));
            out.push(site.in_main(line, format!("do not list domain {domain} in BOTH {theirs} and {mine}")));
        }
    }
    out
}

/// The plain names of a list, those in `/file` too.
fn domains(site: &Site, name: &str) -> Vec<String> {
    let mut out = Vec::new();
    for word in site.list(name) {
        if word.starts_with('/') {
            let text = files::text(Path::new(&word), MAX_TEXT).unwrap_or_default();
            let lines = text.lines().filter(|l| !l.trim_start().starts_with('#'));
            out.extend(lines.flat_map(base_conf::list::split).map(str::to_ascii_lowercase));
        } else if !word.contains(':') && !word.starts_with('!') {
            out.push(word.to_ascii_lowercase());
        }
    }
    out
}
