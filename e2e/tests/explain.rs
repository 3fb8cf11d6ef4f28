//! `postfix explain` says what the server says. The scenario is e2e/ours/explain.txt. Needs root; see parity.rs.

mod common;

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

/// The server's replies to RCPT TO.
fn replies(smtp: &[String]) -> Vec<String> {
    let pairs = smtp.windows(2).filter(|w| w[0].starts_with("C: RCPT TO"));
    pairs.filter_map(|w| w[1].strip_prefix("S: ").map(str::to_owned)).collect()
}
