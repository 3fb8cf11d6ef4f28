//! Transcripts through the pure server session.

use super::*;
use crate::server::{
    Auth, Limits,
    envelope::{neutral, without_route},
};

/// Plays a dialogue: `C:` lines are commands that everybody agrees with, `S:` lines the replies.
fn check(settings: Settings, dialogue: &str) {
    let mut s = Session::new(settings);
    let mut replies: Vec<String> = Vec::new();
    for line in dialogue.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if let Some(want) = line.strip_prefix("S: ") {
            assert!(!replies.is_empty(), "no reply for {want}");
            assert_eq!(replies.remove(0), want);
            continue;
        }
        let command = line.strip_prefix("C: ").expect("C: or S:");
        assert!(replies.is_empty(), "unexpected {replies:?} before {command}");
        let mut next = s.command(command.as_bytes());
        loop {
            next = match next {
                Next::Ask(Ask::StartTls) => {
                    push(&mut replies, &Reply::new(220, OK, "Ready"));
                    s.tls_started(Settings { encrypted: true, ..s.settings().clone() })
                }
                Next::Ask(Ask::Auth(rest)) => match s.auth_arguments(&rest) {
                    Ok(_) => {
                        s.set_authenticated(true);
                        s.answer(Verdict::Say(Session::welcome()))
                    }
                    Err(reply) => s.answer(Verdict::Refuse(reply)),
                },
                Next::Ask(_) => s.answer(Verdict::Accept),
                Next::Silence => break,
                Next::Chunk { chunk, refused, .. } => {
                    let done = Reply::new(250, OK, "Ok: queued");
                    s.chunk_done(refused.map_or(Ok(chunk.last.then_some(done)), Err))
                }
                Next::Reply(reply) => {
                    push(&mut replies, &reply);
                    if reply.code != 354 {
                        break;
                    }
                    s.data_done(Ok(Reply::new(250, OK, "Ok: queued")))
                }
                Next::Close { reply, too_many_errors } => {
                    push(&mut replies, &reply);
                    too_many_errors.iter().for_each(|r| push(&mut replies, r));
                    replies.push("closed".into());
                    break;
                }
            }
        }
    }
    assert!(replies.is_empty(), "left: {replies:?}");
}

fn push(replies: &mut Vec<String>, reply: &Reply) {
    let mut wire = Vec::new();
    reply.write_to(&mut wire);
    replies.extend(String::from_utf8_lossy(&wire).lines().map(String::from));
}

#[test]
fn sequence_errors() {
    check(
        Settings { helo_required: true, ..Settings::default() },
        "C: MAIL FROM:<a@example.net>
         S: 503 5.5.1 Error: send HELO/EHLO first
         C: RCPT TO:<alice@example.com>
         S: 503 5.5.1 Error: need MAIL command
         C: DATA
         S: 503 5.5.1 Error: need RCPT command
         C: ETRN example.com
         S: 503 Error: send HELO/EHLO first
         C: HELO x
         S: 250 localhost
         C: BDAT 5 LAST
         S: 503 5.5.1 Error: need RCPT command
         C: MAIL FROM:<a@example.net>
         S: 250 2.1.0 Ok
         C: MAIL FROM:<b@example.net>
         S: 503 5.5.1 Error: nested MAIL command
         C: DATA
         S: 554 5.5.1 Error: no valid recipients
         C: ETRN example.com
         S: 503 Error: MAIL transaction in progress
         C: RCPT TO:<alice@example.com>
         S: 250 2.1.5 Ok
         C: DATA x
         S: 501 5.5.4 Syntax: DATA
         C: DATA
         S: 354 End data with <CR><LF>.<CR><LF>
         S: 250 2.0.0 Ok: queued
         C: DATA
         S: 503 5.5.1 Error: need RCPT command
         C: RSET now
         S: 501 5.5.4 Syntax: RSET
         C: quit now
         S: 221 2.0.0 Bye
         S: closed",
    );
}

#[test]
fn parameters() {
    check(
        Settings::default(),
        "C: EHLO
         S: 501 Syntax: EHLO hostname
         C: MAIL FROM:<a@example.net> foo=bar
         S: 555 5.5.4 Unsupported option: foo=bar
         C: MAIL FROM:<a@example.net> SIZE=x
         S: 501 5.5.4 Bad message size syntax
         C: MAIL FROM:<a@example.net> SIZE=99999999999999999999
         S: 552 5.3.4 Message size exceeds file system imposed limit
         C: MAIL FROM:<a@example.net> SIZE=10240001
         S: 552 5.3.4 Message size exceeds fixed limit
         C: MAIL FROM:<a@example.net> BODY=BINARYMIME
         S: 555 5.5.4 Unsupported option: BODY=BINARYMIME
         C: MAIL FROM:<a@example.net> RET=FULL RET=HDRS
         S: 501 5.5.4 Bad RET parameter syntax
         C: MAIL FROM:<a@example.net> ENVID=a+zz
         S: 501 5.5.4 Bad ENVID parameter syntax
         C: MAIL FROM:<a@example.net> XVERP
         S: 555 5.5.4 Unsupported option: XVERP
         C: MAIL FROM:<a@example.net> SIZE=5 body=8bitmime SMTPUTF8 RET=HDRS ENVID=abc+2Bdef AUTH=<>
         S: 250 2.1.0 Ok
         C: RCPT TO:<alice@example.com> NOTIFY=NEVER,SUCCESS
         S: 501 5.5.4 Error: Bad NOTIFY parameter syntax
         C: RCPT TO:<alice@example.com> NOTIFY=FOO
         S: 501 5.5.4 Error: Bad NOTIFY parameter syntax
         C: RCPT TO:<alice@example.com> ORCPT=;x
         S: 501 5.5.4 Error: Bad ORCPT parameter syntax
         C: RCPT TO:<alice@example.com> ORCPT=rfc822;a ORCPT=rfc822;b
         S: 501 5.5.4 Error: Bad ORCPT parameter syntax
         C: RCPT TO:<alice@example.com> NOTIFY=success,DELAY ORCPT=rfc822;bob+40x
         S: 250 2.1.5 Ok",
    );
}

#[test]
fn chunks_in_every_order() {
    check(
        Settings { size_limit: 100, ..Settings::default() },
        "C: MAIL FROM:<a@example.net>
         S: 250 2.1.0 Ok
         C: BDAT 3
         S: 554 5.5.1 Error: no valid recipients
         C: RCPT TO:<alice@example.com>
         S: 503 5.5.1 Error: RCPT after BDAT
         C: BDAT 5
         S: 551 5.0.0 Discarded 5 bytes after earlier error
         C: BDAT 0
         S: 551 5.7.1 Null BDAT request
         C: DATA
         S: 503 5.5.1 Error: DATA after BDAT
         C: RSET
         S: 250 2.0.0 Ok
         C: MAIL FROM:<a@example.net>
         S: 250 2.1.0 Ok
         C: RCPT TO:<alice@example.com>
         S: 250 2.1.5 Ok
         C: BDAT 10
         S: 250 2.0.0 Ok: 10 bytes
         C: BDAT 0 LAST
         S: 250 2.0.0 Ok: queued
         C: MAIL FROM:<a@example.net>
         S: 250 2.1.0 Ok
         C: RCPT TO:<alice@example.com>
         S: 250 2.1.5 Ok
         C: BDAT 101 LAST
         S: 552 5.3.4 Chunk exceeds message size limit
         C: BDAT x
         S: 521 5.5.4 Syntax: BDAT count [LAST]
         S: closed",
    );
}

#[test]
fn limits() {
    let limits =
        Limits { hard_errors: 3, junk: 1, recipients: 1, recipient_overshoot: 1, ..Limits::default() };
    check(
        Settings { limits, hostname: "mail.example.com".into(), ..Settings::default() },
        "C: MAIL FROM:<a@example.net>
         S: 250 2.1.0 Ok
         C: RCPT TO:<alice@example.com>
         S: 250 2.1.5 Ok
         C: RCPT TO:<bob@example.com>
         S: 452 4.5.3 Error: too many recipients
         C: NOOP
         S: 250 2.0.0 Ok
         C: NOOP
         S: 250 2.0.0 Ok
         C: FOO
         S: 500 5.5.2 Error: command not recognized
         C: RCPT TO:<carol@example.com>
         S: 452 4.5.3 Error: too many recipients
         S: 421 4.7.0 mail.example.com Error: too many errors
         S: closed",
    );
}

#[test]
fn other_protocols_and_refused_clients() {
    check(
        Settings::default(),
        "C: Subject: x\nS: 221 2.7.0 Error: I can break rules, too. Goodbye.\nS: closed",
    );
    let mut s = Session::new(Settings::default());
    s.deny(Reply::new(503, Status::new(5, 7, 0), "Error: access denied for unknown[192.0.2.1]"));
    assert!(matches!(s.command(b"HELO x"), Next::Reply(r) if r.code == 503));
    assert!(matches!(s.command(b"QUIT"), Next::Close { reply, .. } if reply.code == 221));
    let stats: Vec<_> =
        s.counters().stats().filter(|(_, c)| c.total > 0).map(|(v, c)| (v, c.ok, c.total)).collect();
    assert_eq!(stats, [(Verb::Helo, 0, 1), (Verb::Quit, 1, 1)]);
}

#[test]
fn source_routes_and_odd_names() {
    for (given, want) in [("@a,@b:x@c", "x@c"), ("x@c", "x@c"), ("@c", "@c"), ("a:b@c", "a:b@c")] {
        assert_eq!(without_route(given), want);
    }
    assert_eq!(neutral("c d<x>"), "c?d?x?");
}

#[test]
fn help_is_answered() {
    let want = "S: 214 2.0.0 Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY ETRN HELP QUIT";
    check(Settings::default(), &format!("C: HELP\n{want}\n"));
}

#[test]
fn auth_before_and_after() {
    let auth = Auth { mechanisms: "PLAIN LOGIN".into(), broken_clients: true };
    let settings = Settings { auth: Some(auth), ..Settings::default() };
    assert!(settings.ehlo_lines().windows(2).any(|w| w == ["AUTH PLAIN LOGIN", "AUTH=PLAIN LOGIN"]));
    check(
        Settings { helo_required: true, ..settings },
        "C: AUTH PLAIN YQ==
         S: 503 5.5.1 Error: send HELO/EHLO first
         C: HELO c
         S: 250 localhost
         C: AUTH
         S: 501 5.5.4 Syntax: AUTH mechanism
         C: MAIL FROM:<a@example.net>
         S: 250 2.1.0 Ok
         C: AUTH PLAIN YQ==
         S: 503 5.5.1 Error: MAIL transaction in progress
         C: RSET
         S: 250 2.0.0 Ok
         C: AUTH PLAIN YQ==
         S: 235 2.7.0 Authentication successful
         C: AUTH
         S: 503 5.5.1 Error: already authenticated",
    );
    check(Settings::default(), "C: AUTH PLAIN YQ==\nS: 503 5.5.1 Error: authentication not enabled");
}

#[test]
fn starttls_first() {
    check(
        Settings { starttls: true, must_encrypt: true, ..Settings::default() },
        "C: HELO c
         S: 250 localhost
         C: MAIL FROM:<a@example.net>
         S: 530 5.7.0 Must issue a STARTTLS command first
         C: AUTH
         S: 530 5.7.0 Must issue a STARTTLS command first
         C: RSET
         S: 530 5.7.0 Must issue a STARTTLS command first
         C: NOOP
         S: 250 2.0.0 Ok
         C: STARTTLS now
         S: 501 5.5.4 Syntax: STARTTLS
         C: STARTTLS
         S: 220 2.0.0 Ready
         C: STARTTLS
         S: 554 5.5.1 Error: TLS already active
         C: MAIL FROM:<a@example.net>
         S: 250 2.1.0 Ok",
    );
    check(Settings::default(), "C: STARTTLS\nS: 502 5.5.1 Error: command not implemented");
}
