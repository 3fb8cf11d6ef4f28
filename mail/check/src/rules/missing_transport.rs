//! Transports that main.cf and its tables name, and that master.cf lacks: mail for them is deferred.

use super::{Rule, missing_table::places};
use crate::{Finding, Severity, Site, edit, files, site::place, specs};
use base_conf::{ServiceKind, grammar::Grammar, main_cf::logical_lines};
use std::path::PathBuf;

/// The record.
pub const RULE: Rule = Rule {
    name: "missing-transport",
    finds: "transports in main.cf and in transport tables that master.cf does not define",
    severity: Severity::Error,
    example: &[
        (
            "main.cf",
            "content_filter = smtp-amavis:[127.0.0.1]:10024\ntransport_maps = texthash:/etc/postfix/transport\n",
        ),
        ("transport", "example.com smpt:[192.0.2.9]\n"),
    ],
    run,
};

/// Parameters whose tables give transports.
const TABLES: &[&str] = &[
    "transport_maps",
    "sender_dependent_default_transport_maps",
    "mailbox_transport_maps",
    "fallback_transport_maps",
];
/// Texts longer than this are not read.
const MAX_TEXT: u64 = 4 << 20;

fn run(site: &Site) -> Vec<Finding> {
    if site.master.services.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    for s in site.settings().iter().filter(|s| s.grammar() == Some(Grammar::Transport)) {
        if let Some(name) = missing(site, &s.expanded) {
            out.push(finding(
                site,
                place(&s.text.file, s.line, format!("{}: master.cf has no transport \"{name}\"", s.name)),
                name,
            ));
        }
    }
    out.extend(in_tables(site));
    out
}

/// The transport of `transport:nexthop`, when there is none of this name.
fn missing<'a>(site: &Site, value: &'a str) -> Option<&'a str> {
    let name = value.trim().split(':').next().unwrap_or_default();
    let odd = name.is_empty() || name.contains(['/', '$', '{', ' ']);
    (!odd && !site.has_transport(name)).then_some(name)
}

fn finding(site: &Site, found: Finding, name: &str) -> Finding {
    let known = site.master.services.iter().filter(|s| s.kind != ServiceKind::Inet).map(|s| s.name.as_str());
    let near = edit::nearest(name, known);
    if near.is_none() && name.contains('.') {
        return found.hint(format!("a host is written as \"smtp:[{name}]\""));
    }
    found.maybe(near)
}

fn in_tables(site: &Site) -> Vec<Finding> {
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut out = Vec::new();
    for spec in specs::all(site).into_iter().filter(|s| TABLES.contains(&s.parameter.as_str())) {
        if matches!(spec.kind(), "regexp" | "pcre" | "cidr") {
            continue;
        }
        let Some((file, source)) = places(site, &spec) else { continue };
        let path = source.unwrap_or(file);
        if seen.contains(&path) {
            continue;
        }
        for l in logical_lines(&files::text(&path, MAX_TEXT).unwrap_or_default()) {
            let Some((_, value)) = l.text.split_once(char::is_whitespace) else { continue };
            if let Some(name) = missing(site, value.trim()) {
                out.push(finding(
                    site,
                    place(&path, l.line, format!("master.cf has no transport \"{name}\"")),
                    name,
                ));
            }
        }
        seen.push(path);
    }
    out
}
