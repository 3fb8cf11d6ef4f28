//! `postconf -d` against Debian's, name by name: every difference is a row of "Defaults that differ" in docs/parity.md, and
//! every row there is a difference. A row is a name or a beginning and `*`.

#[path = "common/machine.rs"]
mod machine;

use std::{collections::BTreeMap, env, fs, path::Path, process::Command};

/// Every name with its default.
fn defaults(program: &Path, dir: &Path) -> BTreeMap<String, String> {
    let out = Command::new(program).arg("-c").arg(dir).arg("-d").output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let split = |l: &str| l.split_once(" =").map(|(n, v)| (n.to_owned(), v.trim().to_owned()));
    text.lines().filter_map(split).collect()
}

/// The rows of the table in docs/parity.md.
fn explained() -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/parity.md")).unwrap();
    let (_, table) = text.split_once("## Defaults that differ").expect("the section");
    let table = table.split("\n## ").next().unwrap_or_default();
    let rows = table.lines().filter_map(|l| l.strip_prefix("| ")?.split(" |").next());
    rows.filter(|n| *n != "name").flat_map(|n| n.split(", ")).map(str::to_owned).collect()
}

fn covers(row: &str, name: &str) -> bool {
    row.strip_suffix('*').map_or(row == name, |beginning| name.starts_with(beginning))
}

#[test]
fn every_difference_has_its_reason() {
    let theirs = Path::new("/usr/sbin/postconf");
    if !machine::ready() {
        return;
    }
    let dir = env::temp_dir().join(format!("postconf-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("main.cf"), "").unwrap();
    fs::copy("/usr/share/postfix/master.cf.dist", dir.join("master.cf")).unwrap();
    let link = dir.join("postconf");
    std::os::unix::fs::symlink(machine::programs().join("hikyaku-tools"), &link).unwrap();
    let (theirs, ours) = (defaults(theirs, &dir), defaults(&link, &dir));
    fs::remove_dir_all(&dir).unwrap();
    assert!(theirs.len() > 800 && ours.len() > theirs.len());

    let rows = explained();
    let mut names: Vec<&String> = theirs.keys().chain(ours.keys()).collect();
    names.sort();
    names.dedup();
    let differ: Vec<&String> = names.into_iter().filter(|n| theirs.get(*n) != ours.get(*n)).collect();
    let unexplained: Vec<_> = differ.iter().filter(|n| !rows.iter().any(|r| covers(r, n))).collect();
    assert!(unexplained.is_empty(), "not in docs/parity.md: {unexplained:?}");
    let idle: Vec<_> = rows.iter().filter(|r| !differ.iter().any(|n| covers(r, n))).collect();
    assert!(idle.is_empty(), "in docs/parity.md, but not different: {idle:?}");
}
