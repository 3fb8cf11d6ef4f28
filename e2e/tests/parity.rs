//! Every scenario of e2e/scenarios against Debian's Postfix and against Hikyaku: replies, delivered bytes, log lines and command output
//! must be the same.
//!
//! `MTA_UNDER_TEST=theirs|ours` runs one side alone and prints what it does; `SCENARIO=name` or `SCENARIO=begin*` picks. Needs root and the packages that
//! `cargo xtask test --install-peers` installs; without them the run says so and passes, with `HIKYAKU_PEERS_REQUIRED` it fails.

mod common;

use common::{lines, missing, run};
use std::{env, fs, path::Path, sync::Mutex, thread};
use testkit::scenario;

/// How often a scenario may be run until both sides agree.
const TRIES: usize = 4;

/// Scenarios at a time. They wait most of the time.
const AT_ONCE: usize = 6;

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

/// Runs both sides until they agree in everything that the scenario checks, at most [`TRIES`] times: a busy machine can stretch a timing
/// on either side, a real difference shows every time.
fn compare(file: &Path, s: &scenario::Scenario) -> Result<(), String> {
    if let Ok(side) = env::var("MTA_UNDER_TEST") {
        println!("#### {}\n{:#}", s.name, run(file, &s.name, &side)?);
        return Ok(());
    }
    let check = s.items.iter().find(|i| i.kind == "check").map_or("smtp,mail,cmd,log", |i| i.arg.as_str());
    let mut kinds: Vec<&str> = check.split(',').map(str::trim).collect();
    let (mut theirs, mut ours, mut faults) = (Vec::new(), Vec::new(), String::new());
    for _ in 0..TRIES {
        let both = run(file, &s.name, "theirs").and_then(|t| Ok((t, run(file, &s.name, "ours")?)));
        match both {
            Ok((t, o)) => {
                theirs.push(t);
                ours.push(o);
            }
            Err(e) => {
                faults = e;
                continue;
            }
        }
        kinds.retain(|kind| !theirs.iter().any(|t| ours.iter().any(|o| lines(t, kind) == lines(o, kind))));
        if kinds.is_empty() {
            return Ok(());
        }
        faults.clear();
    }
    if let (Some(t), Some(o)) = (theirs.last(), ours.last()) {
        for kind in kinds {
            faults.push_str(&format!(" {kind}:\n{}", difference(&lines(t, kind), &lines(o, kind))));
        }
    }
    Err(faults)
}

/// What a scenario needs and this machine lacks.
fn lacks(s: &scenario::Scenario) -> Vec<&str> {
    let needs = s.items.iter().filter(|i| i.kind == "needs").flat_map(|i| i.arg.split_whitespace());
    let there = |what: &&str| match what.starts_with('/') {
        true => Path::new(what).exists(),
        false => ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|d| Path::new(d).join(what).exists()),
    };
    needs.filter(|what| !there(what)).collect()
}

/// Whether `SCENARIO` (a name, or a beginning and `*`) asks for this one.
fn asked_for(name: &str) -> bool {
    env::var("SCENARIO").map_or(true, |wanted| match wanted.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => wanted == name,
    })
}

/// What became of one scenario.
fn verdict(file: &Path, s: &scenario::Scenario) -> Result<(), String> {
    let lacking = lacks(s);
    if !lacking.is_empty() {
        if env::var_os("HIKYAKU_PEERS_REQUIRED").is_some() {
            return Err(format!("needs {}", lacking.join(" ")));
        }
        println!("not run: {} needs {}", s.name, lacking.join(" "));
        return Ok(());
    }
    let Err(text) = compare(file, s) else { return Ok(()) };
    match s.items.iter().find(|i| i.kind == "differs") {
        Some(why) => {
            println!("known difference: {}: {}", s.name, why.arg);
            Ok(())
        }
        None => Err(text),
    }
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
        let all = scenario::parse(&fs::read_to_string(&file).unwrap()).unwrap();
        work.extend(all.into_iter().filter(|s| asked_for(&s.name)).map(|s| (file.clone(), s)));
    }
    assert!(!work.is_empty());
    let total = work.len();
    let (work, faults) = (Mutex::new(work), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((file, s)) = work.lock().unwrap().pop() else { break };
                    if let Err(text) = verdict(&file, &s) {
                        faults.lock().unwrap().push(format!("{}:\n{text}", s.name));
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    println!("{} of {total} scenarios are the same", total - faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
