//! `type:table` with a type that does not exist, and tables that are torn apart.

use super::Rule;
use crate::{Finding, Severity, Site, edit, setting::Setting, site::place, specs};
use base_conf::grammar::Grammar;

/// The record.
pub const RULE: Rule = Rule {
    name: "unknown-table-type",
    finds: "table types that do not exist, tables without a type, a blank inside of `type:table`",
    severity: Severity::Error,
    example: &[(
        "main.cf",
        "body_checks = regexp :/etc/postfix/body_checks\nvirtual_alias_maps = hahs:/etc/postfix/virtual\nheader_checks = \
         /etc/postfix/header_checks\n",
    )],
    run,
};

/// The types of DATABASE_README, and ours.
const TYPES: &[&str] = &[
    "btree",
    "cdb",
    "cidr",
    "dbm",
    "debug",
    "environ",
    "fail",
    "hash",
    "inline",
    "internal",
    "ldap",
    "lmdb",
    "memcache",
    "mongodb",
    "mysql",
    "netinfo",
    "nis",
    "nisplus",
    "pcre",
    "pgsql",
    "pipemap",
    "proxy",
    "randmap",
    "redis",
    "regexp",
    "sdbm",
    "socketmap",
    "sqlite",
    "srs",
    "static",
    "tcp",
    "texthash",
    "unionmap",
    "unix",
    "unsrs",
];

fn is_type(kind: &str) -> bool {
    TYPES.contains(&kind) || base_tables::types::find(kind).is_some()
}

fn run(site: &Site) -> Vec<Finding> {
    let mut out: Vec<Finding> =
        specs::all(site).iter().filter(|s| !is_type(s.kind())).map(|s| unknown(site, s)).collect();
    for s in site.settings() {
        match s.grammar() {
            Some(Grammar::Tables) => out.extend(torn(&s)),
            Some(Grammar::TableType) if !s.expanded.is_empty() && !is_type(&s.expanded) => {
                let what = format!("{}: there is no table type \"{}\"", s.name, s.expanded);
                out.push(
                    place(&s.text.file, s.line, what)
                        .maybe(edit::nearest(&s.expanded, TYPES.iter().copied())),
                );
            }
            _ => {}
        }
    }
    out
}

fn unknown(site: &Site, s: &specs::Spec) -> Finding {
    let text = if s.in_master { &site.master_text } else { &site.main };
    let what = format!("{}: there is no table type \"{}\"", s.parameter, s.kind());
    let near = edit::nearest(s.kind(), TYPES.iter().copied()).map(|t| format!("{t}:{}", s.name()));
    place(&text.file, s.line, what).maybe(near.as_deref())
}

/// Words of a list of tables that are none: `hash :/x`, `hash: /x`, `/x`.
fn torn(s: &Setting<'_>) -> Vec<Finding> {
    let words = s.words();
    let mut out = Vec::new();
    let mut skip = false;
    for (at, w) in words.iter().enumerate() {
        if std::mem::take(&mut skip) || specs::is_spec(&w.text) || w.text.starts_with('{') {
            continue;
        }
        let next = words.get(at + 1).map_or("", |n| n.text.as_str());
        let kind = w.text.trim_end_matches(':');
        let what = format!("{}: \"{}\" is no table: type:name is needed", s.name, w.text);
        let found = place(&s.text.file, w.line, what);
        let joins = is_type(kind) && (next.starts_with([':', '/']));
        skip = joins;
        out.push(if joins {
            found.meant(&format!("{kind}:{}", next.trim_start_matches(':')))
        } else if w.text.starts_with('/') {
            let kind = if s.name.ends_with("_checks") { "regexp" } else { "hash" };
            found.meant(&format!("{kind}:{}", w.text))
        } else {
            found
        });
    }
    out
}
