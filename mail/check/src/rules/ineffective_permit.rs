//! Who was to be permitted stands behind what refuses everybody else.

use super::Rule;
use crate::{
    Finding, Severity, Site,
    lists::{self, Item},
    site::place,
};

/// The record.
pub const RULE: Rule = Rule {
    name: "ineffective-permit",
    finds: "permit_mynetworks and permit_sasl_authenticated behind reject_unauth_destination: they permit nobody to relay",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination, permit_sasl_authenticated\n",
    )],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for list in lists::all(site) {
        if !matches!(list.name.as_str(), "smtpd_relay_restrictions" | "smtpd_recipient_restrictions") {
            continue;
        }
        let names: Vec<_> = list.items.iter().map(name).collect();
        let Some(end) =
            names.iter().position(|n| matches!(*n, "reject_unauth_destination" | "defer_unauth_destination"))
        else {
            continue;
        };
        // At the end of a list it decides about nothing any more.
        let Some(Item::Known(r, word, _)) = list.items.last() else { continue };
        let at = list.items.len().saturating_sub(1);
        let permits =
            matches!(r.name, "permit_mynetworks" | "permit_sasl_authenticated" | "permit_tls_clientcerts");
        if permits && at > end && !names.iter().take(end).any(|n| *n == r.name) {
            let what =
                format!("{}: {} stands behind what refuses to relay, and permits nothing", list.name, r.name);
            out.push(place(&list.file, word.line, what).hint("put it in front of reject_unauth_destination"));
        }
    }
    out
}

fn name(item: &Item) -> &'static str {
    match item {
        Item::Known(r, ..) => r.name,
        _ => "",
    }
}
