//! Tables whose files do not exist or cannot be opened: lookups fail, and mail is deferred.

use super::Rule;
use crate::{
    Finding, Severity, Site, files,
    site::place,
    specs::{self, Purpose, Spec},
};
use std::path::PathBuf;

/// The record.
pub const RULE: Rule = Rule {
    name: "missing-table",
    finds: "tables whose file is missing, and indexed tables that were not built yet",
    severity: Severity::Error,
    example: &[
        (
            "main.cf",
            "transport_maps = hash:/etc/postfix/transport\nvirtual_alias_maps = hash:/etc/postfix/virtual\n",
        ),
        ("virtual", "info@example.com alice\n"),
    ],
    run,
};

/// Types that read the file of their name, as it is.
const PLAIN: &[&str] = &["cidr", "pcre", "regexp", "texthash"];
/// Types that read a configuration file when the name is a path.
pub(super) const CONFIGURED: &[&str] =
    &["ldap", "memcache", "mongodb", "mysql", "pgsql", "redis", "sqlite", "srs", "unsrs"];

/// The file that a table reads, by its type; and its source text for those that are built.
pub(super) fn places(site: &Site, spec: &Spec) -> Option<(PathBuf, Option<PathBuf>)> {
    let (kind, name) = (spec.kind(), spec.name());
    if name.starts_with('{') {
        return None;
    }
    let path = site.path(name);
    let with = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    Some(match kind {
        "hash" | "btree" => (with(".db"), Some(path)),
        "lmdb" => (with(".lmdb"), Some(path)),
        "cdb" => (with(".cdb"), Some(path)),
        "dbm" | "sdbm" => (with(".pag"), Some(path)),
        k if PLAIN.contains(&k) => (path, None),
        k if CONFIGURED.contains(&k) && name.starts_with('/') => (path, None),
        _ => return None,
    })
}

fn run(site: &Site) -> Vec<Finding> {
    let specs = specs::all(site);
    specs.iter().filter(|s| s.purpose != Purpose::Cache).filter_map(|s| missing(site, s)).collect()
}

fn missing(site: &Site, spec: &Spec) -> Option<Finding> {
    let (file, source) = places(site, spec)?;
    if files::stat(&file).is_some() {
        return None;
    }
    let text = if spec.in_master { &site.master_text } else { &site.main };
    let at =
        |what: String| place(&text.file, spec.line, format!("{}: {}: {what}", spec.parameter, spec.text));
    let Some(source) = source else {
        return Some(at(format!("{} does not exist", file.display())));
    };
    let command = if spec.purpose == Purpose::Aliases { "postalias" } else { "postmap" };
    let build = format!("run \"{command} {}\"", spec.text);
    if files::stat(&source).is_none() {
        return Some(
            at(format!("neither {} nor {} exists", file.display(), source.display()))
                .hint(format!("write it, then {build}")),
        );
    }
    // The table is built in memory from its text until then.
    Some(at(format!("{} was not built yet", file.display())).severity(Severity::Note).hint(build))
}
