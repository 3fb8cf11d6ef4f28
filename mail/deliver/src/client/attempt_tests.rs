//! Transcripts against scripted servers: what is sent, logged and reported at every stage. The texts are Postfix's.

use crate::{
    peer::Peer,
    testing::{Bench, delivery, delivery_of},
};
use base_calls::{DeliveryReport, Notify, Outcome};
use std::sync::Arc;

const SHORT: &str = "smtp_helo_timeout=1\nsmtp_mail_timeout=1\nsmtp_rcpt_timeout=1\nsmtp_data_init_timeout=1\nsmtp_data_done_timeout=1\n\
                     inet_interfaces = 127.0.0.2\ninet_protocols = ipv4";
const SMTP: &str = "smtp unix - - n - - smtp";

fn plain(lines: Vec<String>, peers: &[&Peer]) -> Vec<String> {
    let mut lines = lines;
    for (peer, name) in peers.iter().zip(["25", "26"]) {
        for l in &mut lines {
            *l = l.replace(&format!(":{}", peer.addr.port()), &format!(":{name}"));
        }
    }
    lines
}

fn kinds(report: &DeliveryReport) -> String {
    let word = |o: &Outcome| match o {
        Outcome::Sent(None) => "sent",
        Outcome::Sent(Some(_)) => "sent+",
        Outcome::Deferred(_) => "deferred",
        Outcome::Failed(_) => "failed",
    };
    let mut all: Vec<_> = report.outcomes.iter().collect();
    all.sort_by_key(|o| o.0);
    all.iter().map(|o| word(&o.1)).collect::<Vec<_>>().join(" ")
}

const SENT: &str = "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued)";

/// One server that answers by `rules`: what `a@x` and `b@x` get.
async fn check(rules: &[(&'static str, &'static str)], a: &str, b: &str) {
    let peer = Peer::start(rules).await;
    let bench = Bench::new(SHORT);
    let report = bench.agent(SMTP).deliver(delivery(&peer.hop(), &["a@x", "b@x"])).await;
    let log = plain(bench.log(), &[&peer]);
    let to = |who: &str| {
        let start = format!("to=<{who}@x>, relay=127.0.0.1[127.0.0.1]:25, ");
        log.iter().find_map(|l| l.strip_prefix(&start)).unwrap_or_else(|| panic!("{who}: {log:#?}"))
    };
    assert_eq!((to("a"), to("b")), (a, b), "{rules:?}");
    assert_eq!(report.outcomes.len(), 2);
}

async fn both(rules: &[(&'static str, &'static str)], want: &str) {
    check(rules, want, want).await;
}

#[tokio::test]
async fn a_delivery() {
    let peer = Peer::start(&[]).await;
    let bench = Bench::new(SHORT);
    let report = bench.agent(SMTP).deliver(delivery(&peer.hop(), &["a@x", "b c@x"])).await;
    assert_eq!(kinds(&report), "sent sent");
    assert_eq!(
        peer.ended(1).await,
        "--\nEHLO mail.example.com\nMAIL FROM:<s@example.com> SIZE=23\nRCPT TO:<a@x> ORCPT=rfc822;a@x\n\
         RCPT TO:<\"b c\"@x> ORCPT=rfc822;\"b+20c\"@x\nDATA\n| Subject: x\n| \n| ..dot\n| x\n.\nQUIT"
    );
    assert_eq!(
        plain(bench.log(), &[&peer]),
        ["a@x", "\"b c\"@x"].map(|to| format!("to=<{to}>, relay=127.0.0.1[127.0.0.1]:25, {SENT}"))
    );
}

#[tokio::test]
async fn refused_before_mail() {
    let host = "127.0.0.1[127.0.0.1]";
    both(
        &[("BANNER", "450 4.7.0 go away")],
        &format!("dsn=4.7.0, status=deferred (host {host} refused to talk to me: 450 4.7.0 go away)"),
    )
    .await;
    both(
        &[("BANNER", "550 5.7.0 go away")],
        &format!("dsn=4.7.0, status=deferred (host {host} refused to talk to me: 550 5.7.0 go away)"),
    )
    .await;
    both(
        &[("BANNER", "354 strange")],
        &format!("dsn=5.5.0, status=bounced (host {host} refused to talk to me: 354 strange)"),
    )
    .await;
    both(
        &[("BANNER", "!close")],
        &format!("dsn=4.4.2, status=deferred (lost connection with {host} while receiving the initial server greeting)"),
    )
    .await;
    both(
        &[("EHLO", "502 no"), ("HELO", "550 5.5.2 no")],
        &format!("dsn=5.5.2, status=bounced (host {host} refused to talk to me: 550 5.5.2 no)"),
    )
    .await;
    both(
        &[("EHLO", "!close")],
        &format!(
            "dsn=4.4.2, status=deferred (lost connection with {host} while performing the EHLO handshake)"
        ),
    )
    .await;
    both(
        &[("EHLO", "!sleep")],
        &format!("dsn=4.4.2, status=deferred (conversation with {host} timed out while performing the EHLO handshake)"),
    )
    .await;
    both(&[("EHLO", "450 no")], SENT).await;
}

#[tokio::test]
async fn refused_later() {
    let said = |s: &str| format!("host 127.0.0.1[127.0.0.1] said: {s} command))");
    let lost =
        |s: &str| format!("dsn=4.4.2, status=deferred (lost connection with 127.0.0.1[127.0.0.1] while {s})");
    let no_mail = said("550 5.7.1 no (in reply to MAIL FROM");
    both(&[("MAIL", "550 5.7.1 no")], &format!("dsn=5.7.1, status=bounced ({no_mail}")).await;
    both(&[("MAIL", "!close")], &lost("sending MAIL FROM")).await;
    let no_user = said("550 5.1.1 no user (in reply to RCPT TO");
    check(&[("RCPT TO:<a", "550 5.1.1 no user")], &format!("dsn=5.1.1, status=bounced ({no_user}"), SENT)
        .await;
    check(
        &[("RCPT TO:<a", "550 5.1.1 no user"), ("RCPT TO:<b", "!close")],
        &format!("dsn=5.1.1, status=bounced ({no_user}"),
        &lost("sending RCPT TO"),
    )
    .await;
    let no_data = said("451 4.3.0 no (in reply to DATA");
    both(&[("DATA", "451 4.3.0 no")], &format!("dsn=4.3.0, status=deferred ({no_data}")).await;
    let odd = said("250 ok (in reply to DATA");
    both(&[("DATA", "250 ok")], &format!("dsn=5.5.0, status=bounced (Protocol error: {odd}")).await;
    both(&[("DATA", "!close")], &lost("sending DATA command")).await;
    let bad = said("554 5.6.0 bad (in reply to end of DATA");
    both(&[(".", "554 5.6.0 bad")], &format!("dsn=5.6.0, status=bounced ({bad}")).await;
    both(&[(".", "!close")], &lost("sending end of data -- message may be sent more than once")).await;
    both(&[(".", "250-2.6.0 one|250 2.6.0 two")], "dsn=2.6.0, status=sent (250-2.6.0 one 250 2.6.0 two)")
        .await;
    both(&[(".", "250")], "dsn=2.0.0, status=sent (250)").await;
}

#[tokio::test]
async fn text_that_is_no_reply() {
    let peer = Peer::start(&[("RCPT TO:<b", "bogus")]).await;
    let bench = Bench::new(SHORT);
    bench.agent(SMTP).deliver(delivery(&peer.hop(), &["a@x", "b@x"])).await;
    let log = plain(bench.log(), &[&peer]);
    assert_eq!(
        log,
        [
            "warning: QID: non-ESMTP response from 127.0.0.1[127.0.0.1]:25: bogus",
            "warning: to prevent loss of mail, turn off command pipelining for 127.0.0.1 with the smtp_discard_ehlo_keyword_address_maps parameter",
            "to=<a@x>, relay=127.0.0.1[127.0.0.1]:25, dsn=4.4.2, status=deferred (conversation with 127.0.0.1[127.0.0.1] timed out while sending DATA command)",
            "to=<b@x>, relay=127.0.0.1[127.0.0.1]:25, dsn=5.5.0, status=bounced (host 127.0.0.1[127.0.0.1] said: bogus 354 go (in reply to RCPT TO command))",
        ]
    );
}

/// Two servers: the first answers by `rules`, the second takes all.
async fn fallback(rules: &[(&'static str, &'static str)], want: &[&str]) {
    let (one, two) = (Peer::start(rules).await, Peer::start(&[]).await);
    let bench = Bench::new(SHORT);
    let hops = format!("{}, {}", one.hop(), two.hop());
    bench.agent(SMTP).deliver(delivery(&hops, &["a@x", "b@x"])).await;
    let mut log = plain(bench.log(), &[&one, &two]);
    log.sort();
    let host = "127.0.0.1[127.0.0.1]";
    let mut want: Vec<String> = want
        .iter()
        .map(|w| match *w {
            "a1" => format!("to=<a@x>, relay={host}:25, {SENT}"),
            "b1" => format!("to=<b@x>, relay={host}:25, {SENT}"),
            "a2" => format!("to=<a@x>, relay={host}:26, {SENT}"),
            "b2" => format!("to=<b@x>, relay={host}:26, {SENT}"),
            w => w.replace("HOST", host),
        })
        .collect();
    want.sort();
    assert_eq!(log, want, "{rules:?}");
}

#[tokio::test]
async fn the_next_host() {
    fallback(
        &[("BANNER", "450 4.7.0 go")],
        &["QID: host HOST refused to talk to me: 450 4.7.0 go", "a2", "b2"],
    )
    .await;
    fallback(
        &[("BANNER", "550 5.7.0 go")],
        &["QID: host HOST refused to talk to me: 550 5.7.0 go", "a2", "b2"],
    )
    .await;
    fallback(
        &[("MAIL", "450 4.7.1 no")],
        &["QID: host HOST said: 450 4.7.1 no (in reply to MAIL FROM command)", "a2", "b2"],
    )
    .await;
    fallback(&[("MAIL", "!close")], &["QID: lost connection with HOST while sending MAIL FROM", "a2", "b2"])
        .await;
    let rcpt = "QID: host HOST said: 450 4.1.1 no (in reply to RCPT TO command)";
    fallback(&[("RCPT", "450 4.1.1 no")], &[rcpt, rcpt, "a2", "b2"]).await;
    fallback(&[("RCPT TO:<a", "450 4.1.1 no")], &[rcpt, "a2", "b1"]).await;
    fallback(
        &[(".", "451 4.3.0 no")],
        &["QID: host HOST said: 451 4.3.0 no (in reply to end of DATA command)", "a2", "b2"],
    )
    .await;
    fallback(
        &[(".", "!close")],
        &[
            "QID: lost connection with HOST while sending end of data -- message may be sent more than once",
            "a2",
            "b2",
        ],
    )
    .await;
    fallback(
        &[("RCPT TO:<a", "550 5.1.1 no")],
        &[
            "to=<a@x>, relay=HOST:25, dsn=5.1.1, status=bounced (host HOST said: 550 5.1.1 no (in reply to RCPT TO command))",
            "b1",
        ],
    )
    .await;
}

#[tokio::test]
async fn nobody_there() {
    let peer = Peer::start(&[]).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bench = Bench::new(&format!("{SHORT}\nsmtp_fallback_relay = {}", peer.hop()));
    let agent = bench.agent(SMTP);
    let report = agent.deliver(delivery(&format!("[127.0.0.1]:{port}"), &["a@x"])).await;
    assert_eq!((kinds(&report), report.destination_down.is_some()), ("sent".into(), false));
    let refused = format!("connect to 127.0.0.1[127.0.0.1]:{port}: Connection refused");
    assert_eq!(bench.log()[0], refused);

    let bench = Bench::new(SHORT);
    let report = bench.agent(SMTP).deliver(delivery(&format!("[127.0.0.1]:{port}"), &["a@x"])).await;
    assert!(report.destination_down.is_some());
    assert_eq!(
        bench.log(),
        [refused.clone(), format!("to=<a@x>, relay=none, dsn=4.4.1, status=deferred ({refused})")]
    );
}

#[tokio::test]
async fn limits_of_the_server() {
    let peer = Peer::start(&[("EHLO", "250-peer|250 SIZE 10")]).await;
    let bench = Bench::new(SHORT);
    bench.agent(SMTP).deliver(delivery(&peer.hop(), &["a@x"])).await;
    assert_eq!(
        plain(bench.log(), &[&peer]),
        [
            "to=<a@x>, relay=127.0.0.1[127.0.0.1]:25, dsn=5.3.4, status=bounced (message size 23 exceeds size limit 10 of server 127.0.0.1[127.0.0.1])"
        ]
    );
    let peer = Peer::start(&[]).await;
    let bench = Bench::new(SHORT);
    let mut d = delivery(&peer.hop(), &["j\u{fc}@x"]);
    Arc::get_mut(&mut d.message).unwrap().envelope.smtputf8 = true;
    bench.agent(SMTP).deliver(d).await;
    assert_eq!(
        plain(bench.log(), &[&peer]),
        [
            "to=<j\u{fc}@x>, relay=127.0.0.1[127.0.0.1]:25, dsn=5.6.7, status=bounced (SMTPUTF8 is required, but was not offered by host 127.0.0.1[127.0.0.1])"
        ]
    );
}

#[tokio::test]
async fn success_notices() {
    for (ehlo, want) in [("250-peer|250 DSN", "sent"), ("250 peer", "sent+")] {
        let peer = Peer::start(&[("EHLO", ehlo)]).await;
        let bench = Bench::new(SHORT);
        let mut d = delivery(&peer.hop(), &["a@x"]);
        Arc::get_mut(&mut d.message).unwrap().envelope.recipients[0].notify =
            Notify { success: true, ..Notify::default() };
        let report = bench.agent(SMTP).deliver(d).await;
        assert_eq!(kinds(&report), want);
        if let Outcome::Sent(Some(n)) = &report.outcomes[0].1 {
            assert_eq!(n.action.as_deref(), Some("relayed"));
            assert_eq!(n.remote_mta.as_deref(), Some("127.0.0.1"));
            assert_eq!(n.diagnostic, Some(("smtp".into(), "250 2.0.0 Ok: queued".into())));
            let relay = format!("127.0.0.1[127.0.0.1]:{}", peer.addr.port());
            assert_eq!(n.reason, format!("delivery via {relay}: 250 2.0.0 Ok: queued"));
        }
    }
}

#[tokio::test]
async fn sessions_are_reused() {
    let peer = Peer::start(&[]).await;
    let cached = format!("{SHORT}\nsmtp_connection_cache_destinations = static:all");
    let bench = Bench::new(&cached);
    let agent = bench.agent(SMTP);
    for _ in 0..3 {
        agent.deliver(delivery(&peer.hop(), &["a@x"])).await;
    }
    let text = peer.transcript();
    assert_eq!(
        (text.matches("--").count(), text.matches("MAIL").count(), text.matches("EHLO").count()),
        (1, 3, 1)
    );
    let log = bench.log();
    assert!(log[2].contains(", conn_use=3, "), "{log:?}");

    // Of two destinations with the same server too, unless the server has to prove something about one of them.
    for level in ["none", "may"] {
        let peer = Peer::start(&[]).await;
        let agent = Bench::new(&format!("{cached}\nsmtp_tls_security_level = {level}")).agent(SMTP);
        for hop in [peer.hop(), peer.hop().replace(['[', ']'], "")] {
            agent.deliver(delivery(&hop, &["a@x"])).await;
        }
        let text = peer.transcript();
        assert_eq!((text.matches("--").count(), text.matches("MAIL").count()), (1, 2), "{level}");
    }

    // A session that the server has closed is no reason to defer.
    let peer = Peer::start(&[("MAIL FROM:<second", "!close")]).await;
    for sender in ["first", "second"] {
        let mut d = delivery(&peer.hop(), &["a@x"]);
        Arc::get_mut(&mut d.message).unwrap().envelope.sender = sender.into();
        let report = agent.deliver(d).await;
        let want = if sender == "first" { "sent" } else { "deferred" };
        assert_eq!(kinds(&report), want);
    }
    assert_eq!(peer.transcript().matches("--").count(), 2, "a new session is tried");
}

#[tokio::test]
async fn large_content_and_long_lines() {
    let peer = Peer::start(&[]).await;
    let bench = Bench::new(SHORT);
    let line = format!("{}\r\n", "x".repeat(1500));
    let content = format!("Subject: x\r\n\r\n{}", line.repeat(100));
    let report = bench.agent(SMTP).deliver(delivery_of(&peer.hop(), &["a@x"], &content)).await;
    assert_eq!(kinds(&report), "sent");
    let text = peer.ended(1).await;
    assert_eq!(text.lines().filter(|l| l.len() == 2 + 998).count(), 100);
    assert_eq!(text.lines().filter(|l| *l == format!("|  {}", "x".repeat(502))).count(), 100);
}

#[tokio::test]
async fn lmtp() {
    let peer = Peer::start(&[("RCPT TO:<a", "550 5.1.1 no user"), (".", "250 2.0.0 delivered")]).await;
    let bench = Bench::new(SHORT);
    let agent = bench.agent("lmtp unix - - n - - lmtp");
    let report = agent
        .deliver(delivery(&format!("inet:127.0.0.1:{}", peer.addr.port()), &["a@x", "b@x", "c@x"]))
        .await;
    assert_eq!(kinds(&report), "failed sent sent");
    assert_eq!(
        peer.ended(1).await,
        "--\nLHLO mail.example.com\nMAIL FROM:<s@example.com>\nRCPT TO:<a@x>\nRCPT TO:<b@x>\nRCPT TO:<c@x>\nDATA\n\
         | Subject: x\n| \n| ..dot\n| x\n.\nQUIT"
    );
    let report = agent.deliver(delivery("unix:private/none", &["a@x"])).await;
    assert_eq!(kinds(&report), "deferred");
    assert_eq!(
        bench.log().last().unwrap(),
        "to=<a@x>, relay=none, dsn=4.4.1, status=deferred (connect to mail.example.com[private/none]: No such file or directory)"
    );
}

#[tokio::test]
async fn the_status_of_tls() {
    for (main, rules, want) in [
        ("smtp_tls_security_level = may", &[][..], ", tls=may:none, dsn=2.0.0"),
        ("smtp_tls_security_level =", &[][..], ", tls=none, dsn=2.0.0"),
        ("smtp_tls_security_level = may", &[("BANNER", "450 4.3.0 no")][..], ", tls=may?, dsn=4.3.0"),
        ("smtp_tls_security_level = verify", &[][..], ", tls=!verify, dsn=4.7.4"),
        ("smtp_tls_security_level = may\nsmtp_log_tls_feature_status = no", &[][..], "/0, dsn=2.0.0"),
    ] {
        let peer = Peer::start(rules).await;
        let bench = Bench::new(&format!("{SHORT}\n{main}"));
        bench.agent(SMTP).deliver(delivery(&peer.hop(), &["a@x"])).await;
        let log = bench.raw_log();
        let line = log.iter().find(|l| l.contains("to=<a@x>")).expect("a line");
        let start = line.split(", status=").next().unwrap_or_default();
        let plain = start.split("delays=").nth(1).unwrap_or_default();
        let tls = plain.find(", ").map_or("", |at| &plain[at..]);
        let want = want.strip_prefix("/0").unwrap_or(want);
        assert_eq!(tls, want, "{main}: {line}");
    }
}
