//! Indexed tables whose text was changed after they were built.

use super::{Rule, missing_table::places};
use crate::{
    Finding, Severity, Site, files,
    site::place,
    specs::{self, Purpose},
};

/// The record.
pub const RULE: Rule = Rule {
    name: "stale-table",
    finds: "texts of indexed tables that are newer than the index: the change has no effect",
    severity: Severity::Warning,
    example: &[
        ("main.cf", "transport_maps = hash:/etc/postfix/transport\n"),
        ("transport.db", ""),
        ("transport changed later", "example.com smtp:[192.0.2.9]\n"),
    ],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for spec in specs::all(site) {
        let Some((index, Some(source))) = places(site, &spec) else { continue };
        let (Some(built), Some(changed)) = (files::changed(&index), files::changed(&source)) else {
            continue;
        };
        if changed <= built {
            continue;
        }
        let command = if spec.purpose == Purpose::Aliases { "postalias" } else { "postmap" };
        let what = format!("{} was changed after {} was built", source.display(), index.display());
        let text = if spec.in_master { &site.master_text } else { &site.main };
        out.push(place(&text.file, spec.line, what).hint(format!("run \"{command} {}\"", spec.text)));
    }
    out
}
