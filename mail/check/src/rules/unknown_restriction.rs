//! Names in restriction lists that are neither restrictions nor classes: the server answers 451 to everybody who gets there.

use super::Rule;
use crate::{
    Finding, Severity, Site, edit,
    facts::{blocklists, restrictions},
    lists::{self, Item},
    site::place,
};

/// The record.
pub const RULE: Rule = Rule {
    name: "unknown-restriction",
    finds: "words in restriction lists that are no restrictions: clients get `451 4.3.5 Server configuration error`",
    severity: Severity::Error,
    example: &[(
        "main.cf",
        "smtpd_sender_restrictions = reject_unknown_senmder_domain\nsmtpd_client_restrictions = permit_mynetwork, zen.spamhaus.org\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for list in lists::all(site) {
        for item in &list.items {
            if let Item::Unknown(word) = item {
                let what = format!("{}: unknown restriction \"{}\"", list.name, word.text);
                out.push(meant(place(&list.file, word.line, what), &word.text, &list.classes));
            }
        }
    }
    out
}

fn meant(found: Finding, word: &str, classes: &[String]) -> Finding {
    let known = restrictions::names().chain(classes.iter().map(String::as_str));
    if let Some(near) = edit::nearest(word, known) {
        return found.meant(near);
    }
    if word.contains('.') && !word.starts_with('/') && blocklists::closed(word).is_none() {
        return found.hint(format!("a blocklist is named as \"reject_rbl_client {word}\""));
    }
    if word.starts_with('/') {
        return found.hint(format!("a table is named with its type: \"check_client_access cidr:{word}\""));
    }
    found
}
