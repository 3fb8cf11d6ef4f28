//! Every scenario of e2e/scenarios against Debian's Postfix and against Hikyaku: replies, delivered bytes, log lines and command output
//! must be the same.
//!
//! `MTA_UNDER_TEST=theirs|ours` runs one side alone and prints what it does; `SCENARIO=name,begin*` picks. Needs root and the packages that
//! `cargo xtask test --install-peers` installs; without them the run says so and passes, with `HIKYAKU_PEERS_REQUIRED` it fails.

mod common;

use common::{ready, run};
use serde_json::Value;
use std::{
    env, fs,
    io::{self, Write},
    path::Path,
    sync::Mutex,
    thread,
};
use testkit::{normal, scenario};

/// How often a scenario may be run until both sides agree.
const TRIES: usize = 4;

/// Scenarios at a time. They wait most of the time.
const AT_ONCE: usize = 6;

/// Scenarios in a hundred that may take more than one try: more are a fault that comes and goes.
const MOST_RETRIED: usize = 3;

/// What became of a scenario that is no fault.
enum Verdict {
    /// The first run of one side was as the first run of the other.
    Same,
    /// Runs were the same in the end: how many it took, and what varied.
    Retried(String),
    /// As `@differs` says.
    Differs(String),
    /// This machine lacks something.
    NotRun(String),
}

/// The lines of one kind, as far as both versions can say them.
fn lines(v: &Value, kind: &str) -> Vec<String> {
    let lines = common::lines(v, kind);
    if kind == "smtp" { normal::without_newer_offers(lines) } else { lines }
}

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

/// Which side was not the same in all its runs.
fn unsteady(theirs: &[Value], ours: &[Value], kinds: &[&str]) -> String {
    let differ =
        |runs: &[Value], kind: &str| runs.windows(2).any(|w| lines(&w[0], kind) != lines(&w[1], kind));
    let sides = [("theirs", theirs), ("ours", ours)].into_iter();
    let found = sides.flat_map(|(side, runs)| {
        kinds.iter().filter(move |k| differ(runs, k)).map(move |kind| format!("{side}: {kind}"))
    });
    found.collect::<Vec<_>>().join(", ")
}

/// Runs both sides until they agree in everything that the scenario checks, at most [`TRIES`] times: a busy machine can stretch a timing
/// on either side, a real difference shows every time. What is seen of one side only in some of its runs is told at the end, since a fault
/// that comes and goes would pass here.
fn compare(file: &Path, s: &scenario::Scenario) -> Result<Verdict, String> {
    if let Ok(side) = env::var("MTA_UNDER_TEST") {
        println!("#### {}\n{:#}", s.name, run(file, &s.name, &side)?);
        return Ok(Verdict::Same);
    }
    let check = s.items.iter().find(|i| i.kind == "check").map_or("smtp,mail,cmd,log", |i| i.arg.as_str());
    let checked: Vec<&str> = check.split(',').map(str::trim).collect();
    let mut kinds = checked.clone();
    let (mut theirs, mut ours, mut faults, mut broken) = (Vec::new(), Vec::new(), String::new(), 0);
    for tried in 1..=TRIES {
        let both = run(file, &s.name, "theirs").and_then(|t| Ok((t, run(file, &s.name, "ours")?)));
        match both {
            Ok((t, o)) => {
                theirs.push(t);
                ours.push(o);
            }
            Err(e) => {
                broken += 1;
                faults = e;
                continue;
            }
        }
        kinds.retain(|kind| !theirs.iter().any(|t| ours.iter().any(|o| lines(t, kind) == lines(o, kind))));
        if kinds.is_empty() && tried == 1 {
            return Ok(Verdict::Same);
        } else if kinds.is_empty() {
            let varied = unsteady(&theirs, &ours, &checked);
            return Ok(Verdict::Retried(format!("{tried} tries, {broken} broken off; varied: {varied}")));
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

/// Whether `SCENARIO` (names, or beginnings and `*`, with commas) asks for this one.
fn asked_for(name: &str) -> bool {
    env::var("SCENARIO").map_or(true, |wanted| {
        wanted
            .split(',')
            .any(|w| w.strip_suffix('*').map_or(w == name, |beginning| name.starts_with(beginning)))
    })
}

/// What became of one scenario.
fn verdict(file: &Path, s: &scenario::Scenario) -> Result<Verdict, String> {
    let lacking = lacks(s);
    if !lacking.is_empty() {
        if env::var_os("HIKYAKU_PEERS_REQUIRED").is_some() {
            return Err(format!("needs {}", lacking.join(" ")));
        }
        return Ok(Verdict::NotRun(format!("needs {}", lacking.join(" "))));
    }
    match (compare(file, s), s.items.iter().find(|i| i.kind == "differs")) {
        (Err(_), Some(why)) => Ok(Verdict::Differs(why.arg.clone())),
        (Ok(_), Some(_)) if env::var_os("MTA_UNDER_TEST").is_none() => {
            Err("is the same by now: remove @differs\n".to_owned())
        }
        (outcome, _) => outcome,
    }
}

/// A line of the run's output also where nothing fails: what println! says is kept back then.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[test]
fn same_as_postfix() {
    if !ready() {
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
    let (work, done) = (Mutex::new(work), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((file, s)) = work.lock().unwrap().pop() else { break };
                    let verdict = verdict(&file, &s);
                    done.lock().unwrap().push((s.name, verdict));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by(|a, b| a.0.cmp(&b.0));
    let told = |title: &str, text: fn(&Verdict) -> Option<&str>| {
        let found = done.iter().filter_map(|(name, v)| Some((name, text(v.as_ref().ok()?)?)));
        found.inspect(|(name, text)| say(&format!("{title}: {name}: {text}"))).count()
    };
    let not_run = told("not run", |v| if let Verdict::NotRun(why) = v { Some(why) } else { None });
    let differ = told("known difference", |v| if let Verdict::Differs(why) = v { Some(why) } else { None });
    let retried = told("not at once", |v| if let Verdict::Retried(how) = v { Some(how) } else { None });
    let faults: Vec<_> =
        done.iter().filter_map(|(n, v)| Some(format!("{n}:\n{}", v.as_ref().err()?))).collect();
    say(&format!(
        "{} of {total} scenarios are the same, {retried} of them not at once; known differences: {differ}, not run: {not_run}",
        total - faults.len() - differ - not_run
    ));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let most = (total * MOST_RETRIED).div_ceil(100);
    assert!(retried <= most, "{retried} of {total} scenarios were not the same at once");
}
