//! A configuration that cannot be used: the last good one stays, and the mistake is named. Ours only: where a process of Postfix reads
//! a bad value it ends. And what the tools say in JSON, which Debian's do not. The scenarios are e2e/ours/config.txt. Needs root; see parity.rs.

mod common;

use std::path::Path;

/// What our server says on connecting, what commands print, and the log.
struct Outcome {
    banners: Vec<String>,
    cmd: String,
    log: String,
    mail: Vec<String>,
}

fn play(name: &str) -> Option<Outcome> {
    if !common::ready() {
        return None;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ours/config.txt");
    let outcome = common::run(&file, name, "ours").unwrap();
    let smtp = common::lines(&outcome, "smtp");
    Some(Outcome {
        banners: smtp.iter().filter_map(|l| l.strip_prefix("S: 220 ")).map(str::to_owned).collect(),
        cmd: common::lines(&outcome, "cmd").join("\n"),
        log: common::lines(&outcome, "log").join("\n"),
        mail: common::lines(&outcome, "mail"),
    })
}

#[test]
fn a_bad_value_changes_nothing() {
    let Some(o) = play("reload-bad-value") else { return };
    assert_eq!(o.banners, ["first", "first", "second"]);
    let line = "parameter smtpd_timeout: bad time value or unit: 5x: keeping the previous configuration";
    assert!(o.log.contains("/etc/postfix/main.cf, line ") && o.log.contains(line), "{}", o.log);
}

#[test]
fn a_broken_file_changes_nothing() {
    for name in ["reload-broken-main", "reload-broken-master"] {
        let Some(o) = play(name) else { return };
        assert_eq!(o.banners, ["first"], "{name}");
        assert!(o.cmd.contains("rc=1"), "{name}: {}", o.cmd);
    }
}

#[test]
fn a_bad_value_stops_its_service_only() {
    let Some(o) = play("start-bad-value") else { return };
    assert!(o.cmd.ends_with("rc=0"), "{}", o.cmd);
    assert!(o.mail.iter().any(|l| l.contains("hello")), "{:?}", o.mail);
}

#[test]
fn json_of_tools() {
    let Some(o) = play("json-output") else { return };
    let said: Vec<&str> =
        o.cmd.lines().filter_map(|l| l.strip_prefix("out| ").or(l.strip_prefix("rc="))).collect();
    assert_eq!(
        said,
        [
            r#"{"name":"smtpd_banner","value":"a \"quoted\" $myhostname"}"#,
            "0",
            r#"{"name":"smtpd_banner","value":"a \"quoted\" mail.example.com"}"#,
            "0",
            r#"{"chroot":"n","command":"smtpd","private":"n","process_limit":"-","service":"smtp","type":"inet","unprivileged":"-","wakeup":"-"}"#,
            "0",
            r#"{"one": "1 \"one\""}"#,
            "0",
            r#"{"one": "1 \"one\""}"#,
            r#"{"two": "2"}"#,
            "0",
            "1",
        ]
    );
}
