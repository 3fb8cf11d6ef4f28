//! What the administrators' notes print as answers of their servers must come from ours, byte for byte. The notes' configurations and
//! dialogues are e2e/scenarios/guideN.txt (where tests/parity.rs compares them with Postfix, too). Needs root; see parity.rs.

mod common;

use serde_json::Value;
use std::path::Path;

/// What our server does in a scenario; `None` where there is no Postfix to compare with.
fn play(guide: u8, scenario: &str) -> Option<Value> {
    if !common::ready() {
        return None;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/guide{guide}.txt"));
    Some(common::run(&file, scenario, "ours").unwrap())
}

/// These replies must be there, in this order.
fn check(guide: u8, scenario: &str, wanted: &[&str]) {
    let Some(outcome) = play(guide, scenario) else { return };
    let smtp = common::lines(&outcome, "smtp");
    let mut rest = smtp.iter().filter_map(|l| l.strip_prefix("S: "));
    for line in wanted {
        assert!(rest.any(|l| l == *line), "{scenario}: no \"{line}\" (or not there) in {smtp:#?}");
    }
}

// R-VRFY-1
#[test]
fn vrfy_tells_who_is_known() {
    let known = "252 2.0.0 grot3";
    let unknown = "550 5.1.1 <test>: Recipient address rejected: User unknown in local recipient table";
    check(0, "guide0-vrfy", &["220 grot3 ESMTP Postfix", known, unknown]);
}

// R-VRFY-1 R-SMTP-1
#[test]
fn vrfy_can_be_disabled() {
    check(0, "guide0-vrfy-disabled", &["220 grot3 ESMTP", "502 5.5.1 VRFY command is disabled"]);
}

// R-RELAY-1
#[test]
fn strangers_must_not_relay() {
    let denied = "554 5.7.1 <receive@grot3.com>: Relay access denied";
    check(
        0,
        "guide0-relay-denied",
        &["220 grot3 ESMTP Postfix", "250 2.1.0 Ok", denied, "250 2.0.0 Ok", "250 2.1.0 Ok", denied],
    );
}

// R-RELAY-1
#[test]
fn mynetworks_may_relay() {
    check(
        0,
        "guide0-relay-allowed",
        &["220 grot3 ESMTP Postfix", "250 2.1.0 Ok", "250 2.1.5 Ok", "221 2.0.0 Bye"],
    );
}

// R-SMTP-1 R-SMTP-2
#[test]
fn all_directives_of_the_page_together() {
    check(
        0,
        "guide0-delivery",
        &[
            "220 grot3 ESMTP",
            "503 5.5.1 Error: send HELO/EHLO first",
            "250-grot3",
            "250-PIPELINING",
            "250-SIZE 20971520",
            "250-ETRN",
            "250-ENHANCEDSTATUSCODES",
            "250-8BITMIME",
            "250-DSN",
            "250-SMTPUTF8",
            "250 CHUNKING",
            "552 5.3.4 Message size exceeds fixed limit",
            "550 5.1.1 <nosuch@grot3.com>: Recipient address rejected: User unknown in local recipient table",
            "554 5.7.1 <x@example.org>: Relay access denied",
            "250 2.1.5 Ok",
            "354 End data with <CR><LF>.<CR><LF>",
        ],
    );
}

// R-RELAY-2
#[test]
fn an_open_relay_does_not_serve() {
    let Some(outcome) = play(0, "guide0-open-relay") else { return };
    let smtp = common::lines(&outcome, "smtp");
    assert!(!smtp.is_empty() && smtp.iter().all(|l| !l.starts_with("S: 2")), "{smtp:#?}");
    let fatal = "postfix/smtpd: fatal: in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at \
                 least one working instance of: reject_unauth_destination, defer_unauth_destination, reject, defer, \
                 defer_if_permit or check_relay_domains";
    assert!(common::lines(&outcome, "log").iter().any(|l| l == fatal), "{outcome:#}");
}
