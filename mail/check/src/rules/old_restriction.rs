//! Restrictions of the past, with their successors.

use super::Rule;
use crate::{
    Finding, Severity, Site,
    lists::{self, Item},
    site::place,
};

/// The record.
pub const RULE: Rule = Rule {
    name: "old-restriction",
    finds: "restrictions that were removed or are deprecated; those that were only renamed as notes",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "smtpd_client_restrictions = reject_maps_rbl, reject_unknown_client\nsmtpd_recipient_restrictions = permit_mynetworks, \
         check_relay_domains\n",
    )],
    run,
};

/// Gone since 3.9.
const REMOVED: &[&str] = &["check_relay_domains", "permit_naked_ip_address", "reject_maps_rbl"];

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for list in lists::all(site) {
        for item in &list.items {
            let (Item::Known(r, word, _) | Item::Incomplete(r, word, _)) = item else { continue };
            let Some(today) = r.today() else { continue };
            let plain = !today.contains(' ');
            // Names that were only renamed still do what they did.
            let renamed = plain && !REMOVED.contains(&r.name);
            let what = format!("{}: {} is a name of the past", list.name, r.name);
            let hint = if plain { format!("today's name is {today}") } else { format!("use {today}") };
            let found = place(&list.file, word.line, what).hint(hint);
            out.push(if renamed { found.severity(Severity::Note) } else { found });
        }
    }
    out
}
