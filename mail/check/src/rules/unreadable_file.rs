//! Table files that the server cannot read: not as `mail_owner`, and not through master, which opens files of root only in folders
//! that nobody else can change.

use super::{Rule, missing_table::places};
use crate::{
    Finding, Severity, Site,
    site::place,
    specs::{self, Purpose},
};

/// The record.
pub const RULE: Rule = Rule {
    name: "unreadable-file",
    finds: "table files that the server cannot read: neither as mail_owner, nor by way of master because others can change a folder on \
            the way",
    severity: Severity::Error,
    example: &[
        ("main.cf", "transport_maps = texthash:/etc/postfix/transport\n"),
        ("transport mode=000", "example.com smtp:[192.0.2.9]\n"),
    ],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let owner = site.value("mail_owner");
    let mut out = Vec::new();
    // Aliases are read by the courier, as root.
    for spec in specs::all(site) {
        let Some((file, _)) = places(site, &spec).filter(|_| reads_as_owner(spec.purpose)) else { continue };
        if let Some(why) = (site.around.unreadable)(&owner, &file) {
            let text = if spec.in_master { &site.master_text } else { &site.main };
            let what = format!(
                "{}: {}: the server cannot read {}: {why}",
                spec.parameter,
                spec.text,
                file.display()
            );
            out.push(place(&text.file, spec.line, what).hint("give mail_owner the right, or move the file"));
        }
    }
    out
}

fn reads_as_owner(purpose: Purpose) -> bool {
    !matches!(purpose, Purpose::Aliases | Purpose::Cache)
}
