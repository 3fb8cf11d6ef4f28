//! Access-table keys and actions.

use super::*;
use crate::{config::tests_codes, verdict::Kind};

fn check(value: &str) -> Effect {
    let found = Found {
        table: "hash:t".into(),
        key: "k".into(),
        value: value.into(),
        subject: Subject::new("a@b", Kind::Sender),
    };
    effect(&found, &tests_codes())
}

fn reply(value: &str) -> String {
    match check(value) {
        Effect::Verdict(Verdict::Reject(r) | Verdict::DeferIfPermit(r) | Verdict::DeferIfReject(r)) => {
            format!("{} {} {}", r.code, r.status, r.text)
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn refusals() {
    for (value, want) in [
        ("REJECT", "554 5.7.1 <a@b>: Sender address rejected: Access denied"),
        ("reject 5.7.7 foo bar", "554 5.7.7 <a@b>: Sender address rejected: foo bar"),
        ("DEFER nah", "450 4.7.1 <a@b>: Sender address rejected: nah"),
        ("450 4.9.9 text", "450 4.9.9 <a@b>: Sender address rejected: text"),
        ("421 bye", "421 4.7.1 <a@b>: Sender address rejected: bye"),
        ("550 5.1.1 gone", "550 5.1.7 <a@b>: Sender address rejected: gone"),
        ("DEFER_IF_PERMIT", "450 4.7.1 <a@b>: Sender address rejected: Service unavailable"),
    ] {
        assert_eq!(reply(value), want, "{value}");
    }
}

#[test]
fn others() {
    for (value, want) in [
        ("OK", Effect::Verdict(Verdict::Permit)),
        ("550", Effect::Verdict(Verdict::Permit)),
        ("123456", Effect::Verdict(Verdict::Permit)),
        ("dunno", Effect::Verdict(Verdict::Dunno)),
        ("FILTER foo", Effect::BadEntry("transport:destination")),
        ("REDIRECT foo", Effect::BadEntry("user@domain target")),
        ("PREPEND foo", Effect::BadEntry("header: text")),
        ("permit_mynetworks, reject", Effect::List(vec!["permit_mynetworks".into(), "reject".into()])),
        ("WARN,DUNNO", Effect::List(vec!["WARN".into(), "DUNNO".into()])),
    ] {
        assert_eq!(check(value), want, "{value}");
    }
    let hold = |text: &str| Effect::Message {
        log: "hold",
        text: format!("<a@b>: Sender address {text}"),
        action: Some(MessageAction::Hold),
    };
    assert_eq!(check("HOLD"), hold("triggers HOLD action"));
    assert_eq!(check("hold foo h"), hold("foo h"));
}

#[test]
fn registry_is_sorted() {
    assert!(ACTIONS.windows(2).all(|w| w[0].name < w[1].name));
}
