//! The registry's `used` marks are what docs/parity.md is made from, so they must be true: a parameter is marked if and
//! only if its name stands in the source of the server or a tool (tests, postconf and the configuration check apart).
//!
//! `UPDATE_MARKS=1 cargo test -p base-conf --test used` writes the marks.

use base_conf::params::{self, Param};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

/// Names that the configuration code itself acts on, or that only default to another name.
const BY_CONF: &[&str] =
    &["compatibility_level", "config_directory", "process_id", "process_name", "service_name", "stress"];

/// Names that the code puts together from parts, or that are another's default: begin, end, and the part that stands in the code.
const COMPOSED: &[(&str, &str, &str)] = &[
    ("", "_delivery_status_filter", "_delivery_status_filter"),
    ("address_verify_", "_maps", "address_verify_"),
    ("address_verify_", "_transport", "address_verify_"),
    ("address_verify_", "relayhost", "address_verify_"),
    ("command_time_limit", "", "time_limit"),
    ("lmtp_discard_lhlo_keywords", "", "discard_"),
    ("lmtp_pix_workaround", "", "_pix_workaround"),
    ("lmtp_requiretls_policy", "", "_requiretls_policy"),
    ("smtp_discard_ehlo_keywords", "", "discard_"),
    ("smtp_pix_workaround", "", "_pix_workaround"),
    ("smtp_requiretls_policy", "", "_requiretls_policy"),
    ("unverified_", "", "unverified_"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Source files below `dir`.
fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | "tests" | "params" | "postconf" | "check") {
                sources(&path, out);
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "grammar.rs" {
            out.push(path);
        }
    }
}

/// The string literals of the server's sources that look like names, each with the folder it stands in.
fn literals() -> HashSet<(bool, String)> {
    let mut files = Vec::new();
    for folder in ["base", "mail", "programs"] {
        sources(&root().join(folder), &mut files);
    }
    let mut out = HashSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let client = file.components().any(|c| c.as_os_str() == "deliver");
        for line in code.lines().filter(|l| !l.trim_start().starts_with("//")) {
            for literal in line.split('"').skip(1).step_by(2) {
                for word in literal.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                    out.insert((client, word.to_owned()));
                }
            }
        }
    }
    out
}

fn is_used(p: &Param, literals: &HashSet<(bool, String)>) -> bool {
    let says = |word: &str| [true, false].iter().any(|c| literals.contains(&(*c, word.to_owned())));
    let client = p.name.strip_prefix("smtp_").or_else(|| p.name.strip_prefix("lmtp_"));
    let transport = params::TRANSPORT_SUFFIXES.iter().any(|(suffix, _)| {
        let prefix = p.name.strip_suffix(suffix);
        let known = ["smtp", "lmtp", "local", "virtual", "relay", "error", "transport", "default"];
        prefix.is_some_and(|x| known.contains(&x)) && says(suffix.trim_start_matches('_'))
    });
    let composed = COMPOSED
        .iter()
        .any(|(begin, end, code)| p.name.starts_with(begin) && p.name.ends_with(end) && says(code));
    BY_CONF.contains(&p.name)
        || composed
        || says(p.name)
        || transport
        || client.is_some_and(|rest| rest.contains('_') && literals.contains(&(true, rest.to_owned())))
}

#[test]
fn marks_are_true() {
    let literals = literals();
    if std::env::var_os("UPDATE_MARKS").is_some() {
        return update(&literals);
    }
    let wrong: Vec<String> = params::ALL
        .iter()
        .filter(|p| p.used != is_used(p, &literals))
        .map(|p| format!("{} {}", if p.used { "is not used:" } else { "is used:" }, p.name))
        .collect();
    assert!(wrong.is_empty(), "run with UPDATE_MARKS=1\n{}", wrong.join("\n"));
}

fn update(literals: &HashSet<(bool, String)>) {
    for (group, group_params) in params::GROUPS {
        let path = root().join(format!("base/conf/src/params/{group}.rs"));
        let text = fs::read_to_string(&path).unwrap();
        let mut out = String::new();
        for line in text.lines() {
            let plain = line.replace(".used()", "");
            let named = |p: &&Param| plain.contains(&format!("(\"{}\", ", p.name));
            match group_params.iter().find(named).filter(|p| is_used(p, literals)) {
                Some(_) => out.push_str(&format!("{}.used(),\n", plain.trim_end_matches(','))),
                None => out.push_str(&format!("{plain}\n")),
            }
        }
        fs::write(&path, out).unwrap();
    }
}
