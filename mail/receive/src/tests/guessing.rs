//! Who guesses passwords: what the log says of it must fit the filters that administrators have (fail2ban's `postfix[mode=auth]`), and it
//! takes time.

use super::world::World;
use regex::Regex;
use std::time::Duration;
use tokio::time::Instant;

/// What such filters look for: a warning, the client's name and address, the mechanism, a failure, and then a reason other than
/// trouble of our own.
const FAILED: &str = r"^warning: [^\[]*\[(?<host>[0-9a-f.:]+)\](?::\d+)?: SASL (?:(?i)LOGIN|PLAIN|(?:CRAM|DIGEST)-MD5) authentication failed:(?<reason>.*)$";
const NOT_THE_CLIENT: [&str; 2] =
    [" Connection lost to authentication server", " Invalid authentication mechanism"];
const TOO_MANY: &str = r"^too many errors after \S+ from [^\[]*\[(?<host>[0-9a-f.:]+)\](?::\d+)?$";

#[tokio::test(start_paused = true)]
async fn guessing_is_slow_and_named() {
    let dir = tempfile::tempdir().expect("folder");
    let users = dir.path().join("users");
    std::fs::write(&users, base_sasl::Internal::line("alice", "secret", base_sasl::Keep::Scram))
        .expect("file");
    let world = World::new(&format!(
        "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = internal\nsmtpd_sasl_path = {}\nsmtpd_error_sleep_time = 5s\n\
         smtpd_soft_error_limit = 2\nsmtpd_hard_error_limit = 4",
        users.display()
    ));
    let start = Instant::now();
    let dialogue = "S: 220 mail.example.com ESMTP Postfix
        C: EHLO c
        S: 250-mail.example.com
        S: 250-PIPELINING
        S: 250-SIZE 10240000
        S: 250-VRFY
        S: 250-ETRN
        S: 250-AUTH SCRAM-SHA-256 PLAIN LOGIN
        S: 250-ENHANCEDSTATUSCODES
        S: 250-8BITMIME
        S: 250-DSN
        S: 250-SMTPUTF8
        S: 250 CHUNKING
        C: AUTH PLAIN AGFsaWNlAHdyb25n
        S: 535 5.7.8 Error: authentication failed: authentication failure
        C: AUTH LOGIN YWxpY2U=
        S: 334 UGFzc3dvcmQ6
        C: d3Jvbmc=
        S: 535 5.7.8 Error: authentication failed: authentication failure
        C: AUTH PLAIN AG5vYm9keQB3cm9uZw==
        S: 535 5.7.8 Error: authentication failed: authentication failure
        C: AUTH LOGIN YWxpY2U=
        S: 334 UGFzc3dvcmQ6
        C: c2VjcmV1
        S: 535 5.7.8 Error: authentication failed: authentication failure
        C: NOOP
        S: 421 4.7.0 mail.example.com Error: too many errors";
    world.play("192.0.2.7", dialogue).await;
    assert!(start.elapsed() >= Duration::from_secs(10), "{:?}", start.elapsed());
    let (failed, too_many) = (Regex::new(FAILED).expect("pattern"), Regex::new(TOO_MANY).expect("pattern"));
    let texts = world.logged.texts();
    let hosts = |pattern: &Regex| {
        let found = texts.iter().filter_map(|line| pattern.captures(line));
        let found = found.filter(|c| {
            let reason = c.name("reason").map_or("", |m| m.as_str());
            !NOT_THE_CLIENT.iter().any(|n| reason.starts_with(n))
        });
        found.map(|c| c["host"].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(hosts(&failed), ["192.0.2.7"; 4], "{texts:?}");
    assert_eq!(hosts(&too_many), ["192.0.2.7"], "{texts:?}");
}
