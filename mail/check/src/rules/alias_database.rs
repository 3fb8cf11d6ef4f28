//! newaliases builds a file that nobody reads.

use super::Rule;
use crate::{Finding, Severity, Site, specs};

/// The record.
pub const RULE: Rule = Rule {
    name: "alias-database",
    finds: "alias_database that is not in alias_maps: `newaliases` builds a file that is not read",
    severity: Severity::Warning,
    example: &[
        ("main.cf", "alias_maps = hash:/etc/postfix/aliases\nalias_database = hash:/etc/postfix/alias\n"),
        ("aliases", "postmaster: root\n"),
        ("alias", "postmaster: root\n"),
    ],
    run,
};

fn run(site: &Site) -> Vec<Finding> {
    if site.setting("alias_database").is_none() && site.setting("alias_maps").is_none() {
        return Vec::new();
    }
    let read = specs::all(site);
    let read: Vec<&str> =
        read.iter().filter(|s| s.parameter != "alias_database").map(specs::Spec::name).collect();
    let maps = site.list("alias_maps");
    let built = site.list("alias_database");
    let unread = built.iter().filter(|b| {
        let name = b.split_once(':').map_or(b.as_str(), |(_, n)| n);
        !read.contains(&name) && !maps.iter().any(|m| m.ends_with(&format!(":{name}")))
    });
    // Nothing to build and nothing to read is a decision.
    if maps.is_empty() {
        return Vec::new();
    }
    unread
        .map(|b| {
            let name = if site.config.is_set("alias_database") { "alias_database" } else { "alias_maps" };
            site.at_parameter(
                name,
                None,
                format!("\"newaliases\" builds {b}, which alias_maps does not read"),
            )
            .hint(format!("alias_maps is \"{}\"", maps.join(", ")))
        })
        .collect()
}
