//! Restrictions behind one that decides about everybody.

use super::Rule;
use crate::{
    Finding, Severity, Site,
    lists::{self, Item},
    setting::Word,
    site::place,
};

/// The record.
pub const RULE: Rule = Rule {
    name: "unreachable-restriction",
    finds: "restrictions behind `permit`, `reject` or `defer`: they are never asked",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "smtpd_recipient_restrictions = permit_mynetworks, reject, reject_unknown_sender_domain\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for list in lists::all(site) {
        let mut before: Option<&Item> = None;
        let mut end: Option<&'static str> = None;
        for item in &list.items {
            if let Some(end) = end {
                let what =
                    format!("{}: \"{}\" is behind \"{end}\" and is never asked", list.name, word(item).text);
                out.push(place(&list.file, word(item).line, what));
                break;
            }
            if let Item::Known(r, ..) = item {
                let only_warns = matches!(before, Some(Item::Known(b, ..)) if b.name == "warn_if_reject");
                let ends = matches!(r.name, "permit" | "reject" | "defer" | "check_relay_domains");
                end = (ends && !only_warns).then_some(r.name);
            }
            before = Some(item);
        }
    }
    out
}

fn word(item: &Item) -> &Word {
    match item {
        Item::Known(_, w, _)
        | Item::Incomplete(_, w, _)
        | Item::Table(w)
        | Item::Class(w)
        | Item::Unknown(w) => w,
    }
}
