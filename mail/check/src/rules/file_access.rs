//! Files that others may change, or that the server cannot read.

use super::{
    Rule,
    missing_table::{CONFIGURED, places},
};
use crate::{
    Finding, Severity, Site, files,
    site::place,
    specs::{self, Purpose},
};
use base_conf::grammar::Grammar;
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The record.
pub const RULE: Rule = Rule {
    name: "file-access",
    finds: "configuration and table files that anybody may write to or that have a wrong owner, keys and passwords that anybody may read, \
            list files that do not exist",
    severity: Severity::Warning,
    example: &[
        (
            "main.cf",
            "relay_domains = /etc/postfix/relays\ntransport_maps = texthash:/etc/postfix/transport\nsmtp_sasl_password_maps = \
             texthash:/etc/postfix/sasl_passwd\n",
        ),
        ("transport mode=666", "example.com smtp:[192.0.2.9]\n"),
        ("sasl_passwd mode=644", "[192.0.2.9] user:secret\n"),
    ],
    run,
};

/// Longest file of settings that is read.
const MAX_SETTINGS: u64 = 1 << 16;

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for file in [&site.main.file, &site.master_text.file, &site.dir.join("dynamicmaps.cf")] {
        out.extend(changeable(site, file));
    }
    out.extend([&site.main.file, &site.master_text.file].into_iter().filter_map(|f| secret(f)));
    let mut seen: Vec<PathBuf> = Vec::new();
    for spec in specs::all(site).into_iter().filter(|s| s.purpose != Purpose::Cache) {
        let Some((file, source)) = places(site, &spec) else { continue };
        for path in std::iter::once(file).chain(source) {
            if seen.contains(&path) {
                continue;
            }
            out.extend(changeable(site, &path));
            if spec.parameter.ends_with("_sasl_password_maps") || holds_password(spec.kind(), &path) {
                out.extend(readable(&path, "passwords"));
            }
            seen.push(path);
        }
    }
    out.extend(lists(site));
    out.extend(keys(site));
    out
}

/// Files elsewhere may belong to others: a list manager writes its own alias file.
fn changeable(site: &Site, path: &Path) -> Option<Finding> {
    let meta = files::stat(path)?;
    if files::is_world_writable(&meta) && meta.is_file() {
        return Some(place(path, 0, "anybody may write to this file").hint("run \"chmod o-w\" on it"));
    }
    (path.starts_with(&site.dir) && !files::is_owned_well(&meta))
        .then(|| place(path, 0, "the owner of this file is not root").hint("run \"chown root\" on it"))
}

/// Commands of users read main.cf: sendmail, mailq.
fn secret(path: &Path) -> Option<Finding> {
    let meta = files::stat(path).filter(|m| m.uid() == 0 && !files::is_world_readable(m))?;
    let what = "not everybody may read this file: commands like sendmail fail for users";
    meta.is_file().then(|| place(path, 0, what).hint("run \"chmod 644\" on it"))
}

/// The settings of a table that asks a server, with a password in them.
fn holds_password(kind: &str, path: &Path) -> bool {
    let is_secret = |line: &str| ["password", "bind_pw"].iter().any(|w| line.trim_start().starts_with(w));
    let text = || files::text(path, MAX_SETTINGS).unwrap_or_default();
    CONFIGURED.contains(&kind) && text().lines().any(is_secret)
}

fn readable(path: &Path, what: &str) -> Option<Finding> {
    let meta = files::stat(path).filter(files::is_world_readable)?;
    meta.is_file().then(|| {
        place(path, 0, format!("anybody may read the {what} in this file")).hint("run \"chmod o-r\" on it")
    })
}

/// `/file` in lists of domains and networks.
fn lists(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for s in site.settings() {
        if !matches!(s.grammar(), Some(Grammar::Domains | Grammar::Networks)) {
            continue;
        }
        for w in s.words() {
            let Some(path) =
                Some(w.text.trim_start_matches('!')).filter(|p| p.starts_with('/')).map(Path::new)
            else {
                continue;
            };
            match files::stat(path) {
                Some(_) => out.extend(changeable(site, path)),
                None => out.push(
                    place(&s.text.file, w.line, format!("{}: {} does not exist", s.name, path.display()))
                        .severity(Severity::Error),
                ),
            }
        }
    }
    out
}

/// Private keys.
fn keys(site: &Site) -> Vec<Finding> {
    let named = site.settings();
    let keys = named.iter().filter(|s| s.name.ends_with("key_file") && !s.expanded.is_empty());
    keys.filter_map(|s| readable(Path::new(&s.expanded), "private key")).collect()
}
