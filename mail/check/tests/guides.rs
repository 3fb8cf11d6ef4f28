//! The configurations of five guides, as they were printed: each mistake is found, and nothing is said of correct lines.
//! And configurations that are right, of which nothing is said at all.
//!
//! A folder of tests/guides holds the files of a configuration and `expect`, what the check says. `UPDATE_GUIDES=1` writes
//! those; read them before they are committed.

mod support;

use base_conf::params::{self, Kind};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The files of a configuration.
fn files(dir: &Path) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "expect" {
            out.push((name, fs::read_to_string(entry.path()).unwrap()));
        }
    }
    out.sort();
    out
}

fn check(dir: &Path) -> String {
    let files = files(dir);
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    support::check(&borrowed).iter().map(|l| format!("{l}\n")).collect()
}

fn folders(name: &str) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder(name)).unwrap().flatten().map(|e| e.path()).collect();
    all.retain(|p| p.is_dir());
    all.sort();
    all
}

#[test]
fn guides() {
    let update = std::env::var_os("UPDATE_GUIDES").is_some();
    let all = folders("guides");
    assert!(all.len() > 10);
    for dir in all {
        let got = check(&dir);
        if update {
            fs::write(dir.join("expect"), &got).unwrap();
            continue;
        }
        let expect = fs::read_to_string(dir.join("expect")).unwrap_or_default();
        assert_eq!(got, expect, "{}", dir.display());
    }
}

#[test]
fn correct_configurations() {
    for dir in folders("good") {
        assert_eq!(check(&dir), "", "{}", dir.display());
    }
}

/// Every parameter set to its default.
#[test]
fn defaults() {
    let set = params::ALL
        .iter()
        .filter(|p| !p.hidden && !matches!(p.kind, Kind::Template | Kind::Builtin | Kind::Computed));
    let set = set.filter(|p| p.name != "compatibility_level");
    let text: String = set.map(|p| format!("{} = {}\n", p.name, p.default)).collect();
    let found = support::check(&[("main.cf", &format!("compatibility_level = 3.11\n{text}"))]);
    // The default alias file is a file of this machine.
    let found: Vec<_> = found
        .iter()
        .filter(|l| !l.contains("is a name of the past") && !l.contains("/etc/aliases"))
        .collect();
    assert_eq!(found, Vec::<&String>::new());
}
