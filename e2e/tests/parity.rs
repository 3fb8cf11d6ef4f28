//! Every scenario of e2e/scenarios against Debian's Postfix and against Hikyaku: replies, delivered bytes, log lines and command output
//! must be the same.
//!
//! `MTA_UNDER_TEST=theirs|ours` runs one side alone and prints what it does; `SCENARIO=name` picks one. Needs root and the packages that
//! `cargo xtask test --install-peers` installs; without them the run says so and passes, with `HIKYAKU_PEERS_REQUIRED` it fails.

mod common;

use common::{lines, missing, run};
use std::{env, fs, path::Path, sync::Mutex, thread};
use testkit::scenario;

/// Lines that only one side has, in order (by the longest common subsequence).
fn difference(theirs: &[String], ours: &[String]) -> String {
    let (n, m) = (theirs.len(), ours.len());
    let mut common = vec![vec![0u32; m + 1]; n + 1];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            common[i][j] = match theirs[i] == ours[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, String::new());
    while i < n || j < m {
        if i < n && j < m && theirs[i] == ours[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == m || (i < n && common[i + 1][j] >= common[i][j + 1]) {
            out.push_str(&format!("  - {}\n", theirs[i]));
            i += 1;
        } else {
            out.push_str(&format!("  + {}\n", ours[j]));
            j += 1;
        }
    }
    out
}

fn compare(file: &Path, s: &scenario::Scenario) -> Result<(), String> {
    if let Ok(side) = env::var("MTA_UNDER_TEST") {
        println!("#### {}\n{:#}", s.name, run(file, &s.name, &side)?);
        return Ok(());
    }
    let (theirs, ours) = (run(file, &s.name, "theirs")?, run(file, &s.name, "ours")?);
    let check = s.items.iter().find(|i| i.kind == "check").map_or("smtp,mail,cmd,log", |i| i.arg.as_str());
    let mut faults = String::new();
    for kind in check.split(',').map(str::trim) {
        let (t, o) = (lines(&theirs, kind), lines(&ours, kind));
        if t != o {
            faults.push_str(&format!(" {kind}:\n{}", difference(&t, &o)));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

#[test]
fn same_as_postfix() {
    if let Some(what) = missing() {
        assert!(env::var_os("HIKYAKU_PEERS_REQUIRED").is_none(), "parity needs {what}");
        eprintln!("not run: parity with Postfix needs {what}");
        return;
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut work = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let file = entry.unwrap().path();
        for s in scenario::parse(&fs::read_to_string(&file).unwrap()).unwrap() {
            if env::var("SCENARIO").is_ok_and(|n| n != s.name) {
                continue;
            }
            work.push((file.clone(), s));
        }
    }
    assert!(!work.is_empty());
    let total = work.len();
    let (work, faults) = (Mutex::new(work), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((file, s)) = work.lock().unwrap().pop() else { break };
                    // A busy machine can stretch a timing; a real difference shows every time.
                    let first = compare(&file, &s);
                    let Err(text) = first.or_else(|_| compare(&file, &s)).or_else(|_| compare(&file, &s))
                    else {
                        continue;
                    };
                    match s.items.iter().find(|i| i.kind == "differs") {
                        Some(why) => println!("known difference: {}: {}", s.name, why.arg),
                        None => faults.lock().unwrap().push(format!("{}:\n{text}", s.name)),
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    println!("{} of {total} scenarios are the same", total - faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
