//! Dialogues through the real driver.

use super::world::{World, check, check_from};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

#[tokio::test(start_paused = true)]
async fn commands_and_statistics() {
    check(
        "",
        "S: 220 mail.example.com ESMTP Postfix
         C: noop
         S: 250 2.0.0 Ok
         C: EHLO c
         S: 250-mail.example.com
         S: 250-PIPELINING
         S: 250-SIZE 10240000
         S: 250-VRFY
         S: 250-ETRN
         S: 250-ENHANCEDSTATUSCODES
         S: 250-8BITMIME
         S: 250-DSN
         S: 250-SMTPUTF8
         S: 250 CHUNKING
         C: RSET now
         S: 501 5.5.4 Syntax: RSET
         C: AUTH PLAIN abc
         S: 503 5.5.1 Error: authentication not enabled
         C: STARTTLS
         S: 502 5.5.1 Error: command not implemented
         C: XFORWARD NAME=a
         S: 550 5.7.0 Error: insufficient authorization
         C: ETRN example.com
         S: 459 <example.com>: service unavailable
         C: EXPN alice
         S: 500 5.5.2 Error: command not recognized
         C: QUIT
         S: 221 2.0.0 Bye
         S: EOF",
        &[
            "connect from unknown[127.0.0.1]",
            "disconnect from unknown[127.0.0.1] ehlo=1 xforward=0/1 starttls=0/1 auth=0/1 rset=0/1 noop=1 etrn=0/1 \
             quit=1 unknown=0/1 commands=3/9",
        ],
    )
    .await;
}

// R-VRFY-1
#[tokio::test(start_paused = true)]
async fn vrfy() {
    check(
        "",
        "S: 220 mail.example.com ESMTP Postfix
         C: vrfy alice
         S: 252 2.0.0 alice
         C: vrfy test
         S: 550 5.1.1 <test>: Recipient address rejected: User unknown in local recipient table
         C: VRFY
         S: 501 5.5.4 Syntax: VRFY address [SMTPUTF8]",
        &["NOQUEUE: reject: VRFY from unknown[127.0.0.1]: 550 5.1.1 <test>: Recipient address rejected: User unknown \
           in local recipient table; to=<test> proto=SMTP"],
    )
    .await;
    check(
        "disable_vrfy_command = yes",
        "S: 220 mail.example.com ESMTP Postfix\nC: vrfy alice\nS: 502 5.5.1 VRFY command is disabled",
        &[],
    )
    .await;
}

// R-RELAY-1
#[tokio::test(start_paused = true)]
async fn relay_control() {
    let strangers = "S: 220 mail.example.com ESMTP Postfix
         C: HELO c
         S: 250 mail.example.com
         C: MAIL FROM:send@example.net
         S: 250 2.1.0 Ok
         C: RCPT TO:receive@example.org
         S: 554 5.7.1 <receive@example.org>: Relay access denied
         C: RCPT TO:<x@relay.example>
         S: 250 2.1.5 Ok
         C: RCPT TO:<\"x@example.org\"@example.com>
         S: 554 5.7.1 <x@example.org@example.com>: Relay access denied";
    check_from(
        "192.0.2.1",
        "",
        strangers,
        &[
            "NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 554 5.7.1 <receive@example.org>: Relay access denied; \
             from=<send@example.net> to=<receive@example.org> proto=SMTP helo=<c>",
            "000002C: reject: RCPT from unknown[192.0.2.1]: 554 5.7.1 <x@example.org@example.com>: Relay access \
             denied; from=<send@example.net> to=<\"x@example.org\"@example.com> proto=SMTP helo=<c>",
            "lost connection after RCPT from unknown[192.0.2.1]",
        ],
    )
    .await;
    let ours = strangers.split("C: RCPT").next().unwrap_or_default().to_owned();
    check(
        "",
        &format!("{ours}C: RCPT TO:receive@example.org\nS: 250 2.1.5 Ok"),
        &["000002C: client=unknown[127.0.0.1]"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn errors_end_the_session() {
    check(
        "smtpd_hard_error_limit = 2\nsmtpd_soft_error_limit = 1\nsmtpd_error_sleep_time = 1s",
        "S: 220 mail.example.com ESMTP Postfix
         C: FOO
         S: 500 5.5.2 Error: command not recognized
         C: FOO
         S: 500 5.5.2 Error: command not recognized
         S: 421 4.7.0 mail.example.com Error: too many errors
         S: EOF",
        &["too many errors after UNKNOWN from unknown[127.0.0.1]"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn other_protocols() {
    for line in ["GET / HTTP/1.0", "Subject: foo", "."] {
        check(
            "",
            &format!(
                "S: 220 mail.example.com ESMTP Postfix\nC: {line}\nS: 221 2.7.0 Error: I can break rules, too. Goodbye.\nS: EOF"
            ),
            &[&format!("warning: non-SMTP command from unknown[127.0.0.1]: {line}")],
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_the_session() {
    let world = World::new("smtpd_timeout = 300s");
    let stream = world.connect("127.0.0.1");
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert!(!world.logged.texts().iter().any(|t| t.starts_with("timeout")));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let texts = world.logged.texts();
    assert!(texts.contains(&"timeout after CONNECT from unknown[127.0.0.1]".to_owned()), "{texts:?}");
    assert!(texts.contains(&"disconnect from unknown[127.0.0.1] commands=0/0".to_owned()), "{texts:?}");
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn pipelining() {
    check(
        "",
        "S: 220 mail.example.com ESMTP Postfix
         c: HELO c\\r\\nNOOP\\r\\n
         S: 250 mail.example.com
         S: 250 2.0.0 Ok",
        &["improper command pipelining after HELO from unknown[127.0.0.1]: NOOP\\r\\n"],
    )
    .await;
    check(
        "smtpd_forbid_unauth_pipelining = yes",
        "S: 220 mail.example.com ESMTP Postfix
         c: EHLO c\\r\\nMAIL FROM:<a@example.net>\\r\\n
         S: 554 5.5.0 Error: SMTP protocol synchronization
         S: EOF",
        &["disconnect from unknown[127.0.0.1] ehlo=0/1 commands=0/1"],
    )
    .await;
    check(
        "smtpd_data_restrictions = reject_unauth_pipelining",
        "S: 220 mail.example.com ESMTP Postfix
         C: HELO c
         S: 250 mail.example.com
         C: MAIL FROM:<a@example.net>
         S: 250 2.1.0 Ok
         C: RCPT TO:<alice@example.com>
         S: 250 2.1.5 Ok
         c: DATA\\r\\nNOOP\\r\\n
         S: 503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining
         S: 250 2.0.0 Ok",
        &["000002C: reject: DATA from unknown[127.0.0.1]: 503 5.5.0 <DATA>: Data command rejected: Improper use of \
           SMTP command pipelining; from=<a@example.net> to=<alice@example.com> proto=SMTP helo=<c>"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn rates() {
    let world = World::new(
        "smtpd_client_connection_rate_limit = 1\nsmtpd_client_event_limit_exceptions =\nsmtpd_client_message_rate_limit = 1",
    );
    world
        .play(
            "192.0.2.1",
            "S: 220 mail.example.com ESMTP Postfix
             C: MAIL FROM:<>
             S: 250 2.1.0 Ok
             C: RSET
             S: 250 2.0.0 Ok
             C: MAIL FROM:<>
             S: 450 4.7.1 Error: too much mail from 192.0.2.1",
        )
        .await;
    world
        .play("192.0.2.1", "S: 421 4.7.0 mail.example.com Error: too many connections from 192.0.2.1\nS: EOF")
        .await;
    world.play("192.0.2.2", "S: 220 mail.example.com ESMTP Postfix").await;
    let texts = world.logged.texts();
    for want in [
        "warning: Message delivery request rate limit exceeded: 2 from unknown[192.0.2.1] for service smtp",
        "warning: Connection rate limit exceeded: 2 from unknown[192.0.2.1] for service smtp",
    ] {
        assert!(texts.iter().any(|t| t == want), "{texts:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn long_lines_and_footer() {
    let long = "a".repeat(3000);
    check(
        "smtpd_reject_footer = \\c. Ask $server_name about $client_address",
        &format!(
            "S: 220 mail.example.com ESMTP Postfix
             C: NOOP {long}
             S: 250 2.0.0 Ok
             C: FOO
             S: 500 5.5.2 Error: command not recognized. Ask mail.example.com about 127.0.0.1"
        ),
        &["warning: unknown[127.0.0.1]: request longer than 2048: NOOP aaaaaaaaaaaaaaaaaaaaaaaaa..."],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn discarded_keywords() {
    check(
        "smtpd_discard_ehlo_keywords = pipelining, dsn, chunking",
        "S: 220 mail.example.com ESMTP Postfix
         C: EHLO c
         S: 250-mail.example.com
         S: 250-SIZE 10240000
         S: 250-VRFY
         S: 250-ETRN
         S: 250-ENHANCEDSTATUSCODES
         S: 250-8BITMIME
         S: 250 SMTPUTF8
         C: MAIL FROM:<a@example.net> RET=FULL
         S: 501 5.7.1 DSN support is disabled
         C: BDAT 3 LAST
         S: 521 5.5.1 Error: command not implemented
         S: EOF",
        &["discarding EHLO keywords: PIPELINING DSN CHUNKING"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_client_by_xclient() {
    check(
        "smtpd_authorized_xclient_hosts = 127.0.0.1",
        "S: 220 mail.example.com ESMTP Postfix
         C: XCLIENT FOO=bar
         S: 501 5.5.4 Bad XCLIENT attribute name: FOO
         C: XCLIENT NAME=spike.porcupine.org ADDR=168.100.189.2
         S: 220 mail.example.com ESMTP Postfix
         C: HELO x
         S: 250 mail.example.com
         C: MAIL FROM:<>
         S: 250 2.1.0 Ok
         C: RCPT TO:<x@example.org>
         S: 554 5.7.1 <x@example.org>: Relay access denied",
        &["disconnect from spike.porcupine.org[168.100.189.2] helo=1 xclient=0/2 mail=1 rcpt=0/1 commands=2/5"],
    )
    .await;
}

// 10,000 idle connections must fit into 200 MiB with everything around them.
#[tokio::test(start_paused = true)]
async fn a_waiting_connection_is_small() {
    let world = World::new("");
    let future = world.serve_size();
    assert!(future < 6 * 1024, "{future} bytes");
}

/// What is written with `${stress}`, whatever the parameter.
#[tokio::test(start_paused = true)]
async fn stress() {
    let main_cf = "smtpd_hard_error_limit = 20
smtpd_banner = $myhostname ${stress?{busy}:{ESMTP}}
smtpd_recipient_limit = ${stress?{1}:{100}}
smtpd_sender_restrictions = ${stress?{check_sender_access inline:{a@example.net=reject}}:{permit}}
smtpd_delay_reject = no";
    let usual = "S: 220 mail.example.com ESMTP
        C: HELO c
        S: 250 mail.example.com
        C: MAIL FROM:<a@example.net>
        S: 250 2.1.0 Ok
        C: RCPT TO:<alice@example.com>
        S: 250 2.1.5 Ok
        C: RCPT TO:<bob@example.com>
        S: 250 2.1.5 Ok";
    let busy = "S: 220 mail.example.com busy
        C: HELO c
        S: 250 mail.example.com
        C: MAIL FROM:<a@example.net>
        S: 554 5.7.1 <a@example.net>: Sender address rejected: Access denied
        C: MAIL FROM:<b@example.net>
        S: 250 2.1.0 Ok
        C: RCPT TO:<alice@example.com>
        S: 250 2.1.5 Ok
        C: RCPT TO:<bob@example.com>
        S: 452 4.5.3 Error: too many recipients";
    let world = World::new(main_cf);
    world.play("127.0.0.1", usual).await;
    world.under_stress().play("127.0.0.1", busy).await;
}

/// smtpd_per_request_deadline: by default only under stress.
#[tokio::test(start_paused = true)]
async fn a_request_has_one_time_limit_under_stress() {
    for (stressed, more, is_over) in
        [(false, "", false), (true, "", true), (false, "smtpd_per_request_deadline = yes", true)]
    {
        for begin in ["", "HELO c\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n"] {
            let world = World::new(&format!("smtpd_timeout = 10s\n{more}"));
            let world = if stressed { world.under_stress() } else { world };
            let mut slow = world.connect("127.0.0.1");
            let _ = slow.write_all(begin.as_bytes()).await;
            for _ in 0..6 {
                tokio::time::sleep(Duration::from_secs(3)).await;
                let _ = slow.write_all(b"N").await;
            }
            let texts = world.logged.texts();
            let ended = texts.iter().any(|t| t.starts_with("timeout after "));
            assert_eq!(ended, is_over, "{stressed} {more} {begin:?}: {texts:#?}");
        }
    }
}
