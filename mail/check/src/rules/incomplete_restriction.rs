//! Restrictions without the table, domain or server that must follow them.

use super::Rule;
use crate::{
    Finding, Severity, Site,
    facts::restrictions::Argument,
    lists::{self, Item},
    site::place,
};

/// The record.
pub const RULE: Rule = Rule {
    name: "incomplete-restriction",
    finds: "restrictions that lack the table, list domain or server that must follow them",
    severity: Severity::Error,
    example: &[(
        "main.cf",
        "smtpd_recipient_restrictions = check_sender_access, reject_unauth_destination, reject_rbl_client zen\n\
         smtpd_client_restrictions = check_client_access /etc/postfix/clients\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for list in lists::all(site) {
        for item in &list.items {
            if let Item::Incomplete(r, word, next) = item {
                let need = match r.argument {
                    Argument::Table | Argument::CertTable => "type:table",
                    Argument::DnsList => "the domain of a list",
                    Argument::Policy => "inet:host:port or unix:path",
                    _ => "a number of seconds",
                };
                let line = next.as_ref().map_or(word.line, |n| n.line);
                let what = match next {
                    Some(n) => format!("{}: {} needs {need}, not \"{}\"", list.name, r.name, n.text),
                    None => format!("{}: {} needs {need} behind it", list.name, r.name),
                };
                let found = place(&list.file, line, what);
                let path = next.as_ref().filter(|n| r.takes_table() && n.text.starts_with('/'));
                out.push(match path {
                    Some(n) => found.meant(&format!("hash:{}", n.text)),
                    None => found,
                });
            }
        }
    }
    out
}
