//! Building, editing and reading back; files of Debian's postmap.

use super::*;
use crate::{Options, Table, Tables, Usage};
use std::cell::RefCell;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const OPTIONS: BuildOptions = BuildOptions {
    format: Format::Map,
    fold: true,
    with_nul: None,
    duplicates: Duplicates::Warn,
    inherit_mode: true,
    files: false,
};

fn build(spec: &str, text: &str, options: BuildOptions) -> Vec<String> {
    let warned = RefCell::new(Vec::new());
    let mut builder = Builder::empty(spec, 0, options).unwrap();
    builder.add_text(text.as_bytes(), "/t", &|w| warned.borrow_mut().push(w.to_owned()));
    builder.finish().unwrap();
    warned.into_inner()
}

fn tables() -> Arc<Tables> {
    Tables::new(Options { check_every: Duration::ZERO, ..Options::default() })
}

fn ask(table: &dyn Table, key: &str) -> Option<String> {
    table.lookup_now(key.as_bytes()).unwrap().unwrap().map(|v| String::from_utf8(v).unwrap())
}

#[test]
fn builds_and_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, suffix) in [("hash", "db"), ("btree", "db"), ("lmdb", "lmdb")] {
        let name = dir.path().join(kind);
        let spec = format!("{kind}:{}", name.display());
        let warned = build(&spec, "Key1 one\nkey2 two\nKEY1 again\n", OPTIONS);
        let title = if kind == "lmdb" { spec.clone() } else { format!("{}.db", name.display()) };
        assert_eq!(warned, [format!("{title}: duplicate entry: \"key1\"")]);
        assert!(name.with_extension(suffix).exists());
        let table = tables().open(&spec, Usage::LOOKUP);
        for (key, want) in [("key1", Some("one")), ("KEY2", Some("two")), ("key3", None)] {
            assert_eq!(ask(table.as_ref(), key).as_deref(), want, "{spec} {key}");
        }
        for (nul, want) in [(Some(true), Some("one")), (Some(false), None)] {
            let table = tables().open(&spec, Usage { with_nul: nul, ..Usage::LOOKUP });
            assert_eq!(ask(table.as_ref(), "key1").as_deref(), want);
        }
    }
}

/// Files of that name made by others are not read, and that is said each time.
#[test]
fn dbm_and_sdbm_are_indexed_files() {
    let dir = tempfile::tempdir().unwrap();
    for kind in ["dbm", "sdbm"] {
        let name = dir.path().join(kind);
        let spec = format!("{kind}:{}", name.display());
        build(&spec, "key one\n", OPTIONS);
        assert!(name.with_extension("pag").exists());
        let said = Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        let warn = Arc::new(move |text: &str| kept.lock().unwrap().push(text.to_owned()));
        let table = Tables::new(Options { warn, ..Options::default() }).open(&spec, Usage::LOOKUP);
        assert_eq!(ask(table.as_ref(), "key").as_deref(), Some("one"), "{spec}");
        let said = said.lock().unwrap();
        assert!(said.iter().any(|w| w.contains(&format!("{spec}: {kind} files are not read"))), "{said:?}");
        std::fs::write(name.with_extension("pag"), "made by somebody else").unwrap();
        let foreign = tables().open(&spec, Usage::LOOKUP);
        assert!(foreign.lookup_now(b"key").unwrap().is_err(), "{spec}");
    }
}

#[test]
fn edits_existing_files() {
    let dir = tempfile::tempdir().unwrap();
    let spec = format!("hash:{}", dir.path().join("t").display());
    build(&spec, "a 1\nb 2\n", OPTIONS);
    let replace = BuildOptions { duplicates: Duplicates::Replace, ..OPTIONS };
    let mut builder = Builder::existing(&spec, true, replace).unwrap();
    builder.add_text(b"a 9\nc 3\n", "stdin", &|_| ());
    assert_eq!(builder.remove(&[b"B".to_vec(), b"nosuch".to_vec()]), 1);
    builder.finish().unwrap();
    let table = tables().open(&spec, Usage::LOOKUP);
    let got: Vec<_> = ["a", "b", "c"].iter().map(|k| ask(table.as_ref(), k)).collect();
    assert_eq!(got, [Some("9".into()), None, Some("3".into())]);
    let missing = Builder::existing(&format!("{spec}x"), false, OPTIONS).err().unwrap();
    assert!(
        missing.text.starts_with("open database ") && missing.text.ends_with(": No such file or directory")
    );
}

#[test]
fn modes() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join("t");
    let spec = format!("hash:{}", name.display());
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    fs::write(&name, "a b\n").unwrap();
    let index = name.with_extension("db");
    for (source, inherit, want) in
        [(0o600, true, 0o600), (0o755, true, 0o644), (0o640, true, 0o640), (0o600, false, 0o644)]
    {
        fs::set_permissions(&name, fs::Permissions::from_mode(source)).unwrap();
        let _ = fs::remove_file(&index);
        build(&spec, "a b\n", BuildOptions { inherit_mode: inherit, ..OPTIONS });
        assert_eq!(mode(&index), want, "{source:o}");
    }
    fs::set_permissions(&index, fs::Permissions::from_mode(0o664)).unwrap();
    build(&spec, "a b\n", OPTIONS);
    assert_eq!(mode(&index), 0o664, "an existing file keeps its mode");
}

#[test]
fn the_source_stands_in_for_a_missing_index() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join("t");
    fs::write(&name, "Key value\n").unwrap();
    for kind in ["hash", "btree", "lmdb"] {
        let table = tables().open(&format!("{kind}:{}", name.display()), Usage::LOOKUP);
        assert_eq!(ask(table.as_ref(), "KEY").as_deref(), Some("value"));
    }
    fs::write(&name, "Name: value,\n\tmore\n").unwrap();
    let table = tables().open(&format!("hash:{}", name.display()), Usage::ALIASES);
    assert_eq!(ask(table.as_ref(), "name").as_deref(), Some("value, more"));
}

#[test]
fn a_rebuilt_table_is_noticed_and_never_seen_by_halves() {
    let dir = tempfile::tempdir().unwrap();
    let spec = format!("hash:{}", dir.path().join("t").display());
    let text = |round: usize| (0..500).map(|i| format!("key{i} {round}\n")).collect::<String>();
    build(&spec, &text(0), OPTIONS);
    let table = tables().open(&spec, Usage::LOOKUP);
    let writer = {
        let spec = spec.clone();
        std::thread::spawn(move || (1..=20).for_each(|round| drop(build(&spec, &text(round), OPTIONS))))
    };
    let end = Instant::now() + Duration::from_secs(60);
    while ask(table.as_ref(), "key499").as_deref() != Some("20") {
        assert!(ask(table.as_ref(), "key0").is_some());
        assert!(Instant::now() < end, "the new table was never seen");
    }
    writer.join().unwrap();
}

#[test]
fn an_old_index_is_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join("t");
    let spec = format!("hash:{}", name.display());
    build(&spec, "a b\n", OPTIONS);
    fs::write(&name, "a c\n").unwrap();
    let hours = |n: u64| std::time::SystemTime::now() - Duration::from_secs(n * 3600);
    let set = |path: &Path, at| File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
    set(&name, hours(1));
    set(&name.with_extension("db"), hours(2));
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = log.clone();
    let warn: crate::Warn = Arc::new(move |text: &str| sink.lock().unwrap().push(text.to_owned()));
    let table = Tables::new(Options { warn, ..Options::default() }).open(&spec, Usage::LOOKUP);
    assert_eq!(ask(table.as_ref(), "a").as_deref(), Some("b"));
    let name = name.display();
    assert_eq!(*log.lock().unwrap(), [format!("database {name}.db is older than source file {name}")]);
}

/// Debian's postmap, or the reason to skip. With `CI=true` it must be there.
fn postmap(spec: &str, text: &str, more: &[&str]) -> bool {
    let (_, name) = spec.split_once(':').unwrap();
    fs::write(name, text).unwrap();
    let genuine = Path::new("/usr/lib/postfix/sbin/proxymap");
    let made = genuine.exists()
        && Command::new("/usr/sbin/postmap")
            .args(more)
            .arg(spec)
            .output()
            .is_ok_and(|out| out.status.success());
    assert!(made || std::env::var("CI").as_deref() != Ok("true"), "Debian's postmap cannot build {spec}");
    if !made {
        eprintln!("skipped: Debian's postmap is not installed or cannot build {spec}");
    }
    made
}

#[test]
fn reads_files_made_by_postmap() {
    for (kind, count, long) in [
        ("hash", 3, 10),
        ("btree", 3, 10),
        ("lmdb", 3, 10),
        ("hash", 5000, 60),
        ("btree", 5000, 60),
        ("lmdb", 5000, 60),
        ("hash", 200, 9000),
        ("btree", 200, 9000),
    ] {
        for more in [&[][..], &["-n"][..]] {
            let dir = tempfile::tempdir().unwrap();
            let spec = format!("{kind}:{}", dir.path().join("t").display());
            let value = |i: usize| format!("value{i} {}", "x".repeat(long + i % 17));
            let text: String = (0..count).map(|i| format!("key{i}@example.com {}\n", value(i))).collect();
            if !postmap(&spec, &text, more) {
                return;
            }
            fs::remove_file(dir.path().join("t")).unwrap();
            let table = tables().open(&spec, Usage::LOOKUP);
            for i in 0..count {
                assert_eq!(
                    ask(table.as_ref(), &format!("KEY{i}@example.com")),
                    Some(value(i)),
                    "{spec} {i} {more:?}"
                );
            }
            assert_eq!(ask(table.as_ref(), "nosuch"), None);
            assert_eq!(table.entries().unwrap().unwrap().len(), count, "{spec} {more:?}");
        }
    }
}

#[test]
fn damaged_foreign_files_are_errors_or_complete() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join("t");
    let text: String = (0..300).map(|i| format!("key{i} value{i}\n")).collect();
    for kind in ["hash", "btree"] {
        if !postmap(&format!("{kind}:{}", name.display()), &text, &[]) {
            return;
        }
        let whole = fs::read(name.with_extension("db")).unwrap();
        for cut in (0..whole.len()).step_by(997) {
            if let Ok(index) = crate::bdb::read(&whole[..cut]) {
                assert!(
                    cut % 4096 == 0,
                    "{kind} cut at {cut} passes for a whole file with {} entries",
                    index.len()
                );
            }
        }
        let mut state = 1u64;
        for _ in 0..300 {
            let mut bad = whole.clone();
            for _ in 0..8 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let at = usize::try_from(state >> 20).unwrap() % bad.len();
                bad[at] ^= (state >> 8) as u8;
            }
            let _ = crate::bdb::read(&bad);
        }
    }
}
