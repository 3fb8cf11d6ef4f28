//! DNS blocklists that have closed.

use super::Rule;
use crate::{
    Finding, Severity, Site, edit,
    facts::{blocklists, restrictions::Argument},
    lists::{self, Item},
    site::place,
};

/// The record.
pub const RULE: Rule = Rule {
    name: "closed-blocklist",
    finds: "DNS blocklists that have closed, that are the site of a list instead of the list, or that are mistyped",
    severity: Severity::Warning,
    example: &[(
        "main.cf",
        "smtpd_client_restrictions = permit_mynetworks, reject_rbl_client relays.ordb.org,\n    reject_rbl_client spamcop.net,\n    \
         reject_rbl_client sbl.spamhaus.or\n",
    )],
    run,
};

/// Lists that many use, to recognise those that are mistyped.
const USED: &[&str] = &[
    "zen.spamhaus.org",
    "sbl.spamhaus.org",
    "xbl.spamhaus.org",
    "pbl.spamhaus.org",
    "sbl-xbl.spamhaus.org",
    "dbl.spamhaus.org",
    "bl.spamcop.net",
    "b.barracudacentral.org",
    "psbl.surriel.com",
    "ix.dnsbl.manitu.net",
    "list.dnswl.org",
];

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for list in lists::all(site) {
        for item in &list.items {
            let Item::Known(r, _, Some(next)) = item else { continue };
            if r.argument != Argument::DnsList {
                continue;
            }
            let domain =
                next.text.split('=').next().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
            let at = |what: String| place(&list.file, next.line, what);
            if let Some(fate) = blocklists::closed(&domain) {
                out.push(
                    at(format!("{domain}: this blocklist has {fate}")
                        .replace("has closed", "closed")
                        .replace("has it", "it"))
                    .hint("remove it"),
                );
            } else if let Some((_, real)) = blocklists::SITES.iter().find(|(site, _)| *site == domain) {
                out.push(at(format!("{domain} is not a blocklist")).meant(real));
            } else if !USED.contains(&domain.as_str())
                && let Some(near) =
                    edit::nearest(&domain, USED.iter().copied()).filter(|n| n.len() != domain.len())
            {
                out.push(at(format!("{domain} is not a blocklist that is known")).meant(near));
            }
        }
    }
    out
}
