//! `postfix check` as it is called: lines, JSON, options, exit status.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Output},
};

fn write(dir: &Path, main: &str) {
    let d = dir.display();
    fs::write(dir.join("hikyaku-master"), "").unwrap();
    let group = if fs::read_to_string("/etc/group").unwrap_or_default().contains("\nnogroup:") {
        "nogroup"
    } else {
        "nobody"
    };
    let base = format!(
        "compatibility_level = 3.6\ndaemon_directory = {d}\nmail_owner = daemon\nsetgid_group = {group}\nmaillog_file = {d}/log\n\
         queue_directory = {d}\nalias_maps =\nalias_database =\n"
    );
    fs::write(dir.join("main.cf"), base + main).unwrap();
    fs::write(dir.join("master.cf"), include_str!("../../../mail/check/tests/good/master.cf")).unwrap();
}

fn check(main: &str, args: &[&str]) -> (Output, String) {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), main);
    let out = Command::new(env!("CARGO_BIN_EXE_hikyaku-tools"))
        .arg0("postfix")
        .arg("-c")
        .arg(dir.path())
        .arg("check")
        .args(args)
        .output()
        .unwrap();
    (out, dir.path().display().to_string())
}

fn code(main: &str, args: &[&str]) -> i32 {
    check(main, args).0.status.code().unwrap()
}

#[test]
fn silent_when_fine() {
    let (out, _) = check("", &[]);
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "");
    assert!(out.status.success());
}

#[test]
fn lines() {
    let (out, dir) = check("mynetworks_style = submet\n", &[]);
    let text = String::from_utf8_lossy(&out.stderr);
    let expect = format!(
        "postfix/postfix-script: error: {dir}/main.cf, line 9: mynetworks_style: \"submet\" is not one of: class, subnet, host; did you \
         mean \"subnet\"?\n"
    );
    assert!(text.contains(&expect), "{text}");
    assert_eq!(out.status.code(), Some(1));
}

#[test]
fn json() {
    let (out, dir) = check("biff = maybe\nrelayhost = 192.0.2.1\n", &["-j"]);
    let text = String::from_utf8_lossy(&out.stdout);
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0]["file"], format!("{dir}/main.cf"));
    assert_eq!((&lines[0]["line"], &lines[0]["severity"]), (&9.into(), &"error".into()));
    assert_eq!(
        (&lines[1]["rule"], &lines[1]["hint"]),
        (&"relayhost".into(), &"did you mean \"[192.0.2.1]\"?".into())
    );
}

#[test]
fn exit_status() {
    let warning = "relayhost = 192.0.2.1\n";
    assert_eq!(code(warning, &[]), 0);
    assert_eq!(code(warning, &["--strict"]), 1);
    assert_eq!(code("soft_bounce = yes\n", &["--strict", "-v"]), 0);
    assert_eq!(code("biff = maybe\n", &[]), 1);
    assert_eq!(code("nonsense\n", &[]), 1);
    assert_eq!(code("", &["-x"]), 1);
}

/// main.cf that cannot be read at all is checked as far as it can be read.
#[test]
fn unreadable() {
    let (out, dir) =
        check("smtpd_client_restrictions = permit_mynetworks,\nreject_rbl_client zen.spamhaus.org\n", &[]);
    let text = String::from_utf8_lossy(&out.stderr);
    let expect = format!(
        "{dir}/main.cf, line 10: missing '=' after attribute name: \"reject_rbl_client zen.spamhaus.org\""
    );
    assert!(text.contains(&format!("postfix: fatal: {expect}\n")), "{text}");
    assert!(
        text.contains("to continue \"smtpd_client_restrictions\", the line must start with white space"),
        "{text}"
    );
}
