//! `postfix explain` says what the server says, and knows what it has said. The scenarios are e2e/ours/explain.txt. Needs root; see parity.rs.

mod common;

use serde_json::Value;
use std::path::Path;

#[test]
fn explain_agrees_with_the_server() {
    if !common::ready() {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ours/explain.txt");
    let outcome = common::run(&file, "explain-agrees", "ours").unwrap();
    let replies = replies(&common::lines(&outcome, "smtp"));
    let cmd = common::lines(&outcome, "cmd");
    let explained: Vec<String> = cmd
        .iter()
        .filter_map(|l| l.split_once("reply")?.1.split_once(": ").map(|(_, text)| text.to_owned()))
        .map(|text| if text == "accepted" { "250 2.1.5 Ok".to_owned() } else { text })
        .collect();
    assert!(!replies.is_empty());
    assert_eq!(explained, replies, "{cmd:#?}");
    assert!(
        cmd.iter().any(|l| l.contains("\"REJECT not from you\" (/etc/postfix/clients.cidr, line 3)")),
        "{cmd:#?}"
    );
    assert!(cmd.iter().any(|l| l.contains("strict: a class (main.cf, line ")), "{cmd:#?}");
}

#[test]
fn what_the_question_says_of_the_session_counts() {
    if !common::ready() {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ours/explain.txt");
    let outcome = common::run(&file, "explain-session", "ours").unwrap();
    let cmd = common::lines(&outcome, "cmd");
    let status: Vec<&str> = cmd.iter().filter_map(|l| l.strip_prefix("rc=")).collect();
    assert_eq!(status, ["1", "0", "1", "1", "1", "0", "1"], "{cmd:#?}");
}

/// The server's replies to RCPT TO.
fn replies(smtp: &[String]) -> Vec<String> {
    let pairs = smtp.windows(2).filter(|w| w[0].starts_with("C: RCPT TO"));
    pairs.filter_map(|w| w[1].strip_prefix("S: ").map(str::to_owned)).collect()
}

#[test]
fn the_past_is_as_the_evaluator_says() {
    if !common::ready() {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ours/explain.txt");
    let outcome = common::run(&file, "explain-past", "ours").unwrap();
    let cmd = common::lines(&outcome, "cmd");
    let told: Vec<Value> = cmd
        .iter()
        .filter_map(|l| serde_json::from_str(l.split_once('{').map(|(a, _)| &l[a.len()..])?).ok())
        .collect();
    let (imagined, past): (Vec<&Value>, Vec<&Value>) = told.iter().partition(|v| v.get("time").is_none());
    assert_eq!((imagined.len(), past.len()), (7, 8), "{cmd:#?}");
    for (now, then) in imagined.iter().zip(&past) {
        assert_eq!(then["reply"], now["reply"], "{then:#}");
        assert_eq!(then["actions"], now["actions"], "{then:#}");
        assert_eq!(without_places(&then["steps"]), without_places(&now["steps"]), "{then:#}");
    }
    // After the stop.
    assert_eq!(past[7], past[6]);
    // Three are about this recipient from the first client, one from the other.
    assert!(cmd.iter().any(|l| l.ends_with("| 4")), "{cmd:#?}");
    let refused =
        |l: &String| l.contains("| reply: 554 5.7.1 ") && l.ends_with("Client host rejected: not from you");
    assert!(cmd.iter().any(refused), "{cmd:#?}");
    assert!(cmd.iter().any(|l| l.contains("nothing is known of 192.0.2.99")), "{cmd:#?}");
}

/// Steps without the lines of main.cf, which the past does not know.
fn without_places(steps: &Value) -> Vec<Value> {
    let mut steps = steps.as_array().cloned().unwrap_or_default();
    steps.iter_mut().filter_map(Value::as_object_mut).for_each(|step| {
        step.remove("line");
    });
    steps
}
