//! DKIM against the examples of the RFCs, and against itself with each thing that may be changed on the way.

use crate::{
    Canon, Findings, MethodResult, Methods, Question, Section, arc, body_hash,
    dkim::{SignOptions, sign},
    examine,
    keys::{NewKey, SigningKey, generate},
    lookup::tests::{Silent, Zone},
    spf::{Client, SpfResult},
};
use base_calls::Content;

/// RFC 8463, appendix A.
const BRISBANE: &str = "brisbane._domainkey.football.example.com TXT v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
test._domainkey.football.example.com TXT v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB";

const FOOTBALL: &str = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r
 d=football.example.com; i=@football.example.com;\r
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r
 subject : date : message-id : from : subject : date;\r
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r
 d=football.example.com; i=@football.example.com;\r
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r
 date : message-id : from : subject : date;\r
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r
From: Joe SixPack <joe@football.example.com>\r
To: Suzie Q <suzie@shopping.example.net>\r
Subject: Is dinner ready?\r
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r
Message-ID: <20030712040037.46341.5F8J@football.example.com>\r
\r
Hi.\r
\r
We lost the game.  Are you hungry yet?\r
\r
Joe.\r
";

async fn findings(zone: &str, message: &str, now: u64) -> Findings {
    let content = Content::Memory(message.to_owned().into());
    let section = Section::read(&content, false).expect("read");
    let question = Question { section: &section, content: &content, client: None, now, lot: 0 };
    let methods = Methods { dkim: true, arc: true, ..Methods::default() };
    examine(&Zone::new(zone), &question, methods).await.expect("examined")
}

async fn results(zone: &str, message: &str) -> Vec<MethodResult> {
    findings(zone, message, 1_600_000_000).await.dkim.into_iter().flatten().map(|d| d.result).collect()
}

#[tokio::test]
async fn rfc_8463() {
    use MethodResult::{Fail, Pass, PermError, TempError};
    assert_eq!(results(BRISBANE, FOOTBALL).await, [Pass, Pass]);
    let changed = FOOTBALL.replace("hungry", "angry");
    assert_eq!(results(BRISBANE, &changed).await, [Fail, Fail]);
    let changed = FOOTBALL.replace("Is dinner", "Was dinner");
    assert_eq!(results(BRISBANE, &changed).await, [Fail, Fail]);
    let added = FOOTBALL.replace("\r\nFrom:", "\r\nSubject: no\r\nFrom:");
    assert_eq!(results(BRISBANE, &added).await, [Fail, Fail]);
    let blanks =
        FOOTBALL.replace("Is dinner ready?", "Is  dinner\r\n\tready?  ").replace("game.  Are", "game. Are");
    assert_eq!(results(BRISBANE, &blanks).await, [Pass, Pass]);
    assert_eq!(results("x.y A 192.0.2.1", FOOTBALL).await, [PermError, PermError]);
    assert_eq!(
        results("brisbane._domainkey.football.example.com TXT TEMPFAIL", FOOTBALL).await,
        [TempError, PermError]
    );
    let revoked = BRISBANE.replace("p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "p=");
    assert_eq!(results(&revoked, FOOTBALL).await, [PermError, Pass]);
    let of_others = BRISBANE.replace("k=rsa;", "k=rsa; h=sha1;").replace("k=ed25519;", "k=ed25519; s=web;");
    assert_eq!(results(&of_others, FOOTBALL).await, [PermError, PermError]);
}

#[tokio::test]
async fn flawed_signatures() {
    use MethodResult::{Neutral, PermError, Policy};
    for (from, to, want) in [
        ("v=1;", "v=2;", Neutral),
        ("ed25519-sha256", "rsa-sha1", PermError),
        ("h=from : to :\r\n subject : date : message-id : from :", "h=to :", PermError),
        ("i=@football", "i=@basket", PermError),
        ("t=1528637909;", "t=1528637909; x=1528637910;", Policy),
        ("t=1528637909;", "t=1528637909; l=3;", MethodResult::Fail),
        ("t=1528637909;", "t=1528637909; t=1;", Neutral),
        ("bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;", "", Neutral),
    ] {
        let message = FOOTBALL.replacen(from, to, 1);
        assert_eq!(results(BRISBANE, &message).await.first(), Some(&want), "{to}");
    }
    let many = format!("{}From: a@b.c\r\n\r\n", "DKIM-Signature: x\r\n".repeat(50));
    assert_eq!(results(BRISBANE, &many).await.len(), super::MAX_SIGNATURES);
}

fn options(canon: Canon) -> SignOptions {
    let names = |text: &str| text.split(' ').map(str::to_owned).collect();
    SignOptions {
        headers: names("from to subject date message-id"),
        sealed_headers: names("subject"),
        canon: (canon, canon),
        lifetime: 100,
    }
}

async fn signed(message: &str, key: &SigningKey, canon: Canon) -> String {
    let content = Content::Memory(message.to_owned().into());
    let section = Section::read(&content, false).expect("read");
    let hash = body_hash(&section, &content, canon).await.expect("hashed");
    let header = sign(&section, &hash, key, &options(canon), 1000).expect("signed");
    format!("{}{message}", String::from_utf8_lossy(&header))
}

fn key(kind: NewKey, domain: &str) -> (SigningKey, String) {
    let key = SigningKey::from_pem(domain, "sel", generate(kind).expect("made").as_bytes()).expect("read");
    let record = format!("sel._domainkey.{domain} TXT {}\n", key.dns_record().expect("record"));
    (key, record)
}

#[tokio::test]
async fn own_signatures() {
    let message = "From: a@b.test\r\nSubject: x  y\r\n\tz\r\nX: not signed\r\n\r\nbody  text \r\n\r\n\r\n";
    for kind in [NewKey::Rsa2048, NewKey::Ed25519] {
        let (key, zone) = key(kind, "b.test");
        for canon in [Canon::Simple, Canon::Relaxed] {
            let text = signed(message, &key, canon).await;
            let judged = |text: String, now| {
                let zone = zone.clone();
                async move {
                    let found = findings(&zone, &text, now).await;
                    found.dkim.into_iter().flatten().map(|d| d.result).collect::<Vec<_>>()
                }
            };
            assert!(text.lines().all(|l| l.len() <= 78), "{text}");
            assert_eq!(judged(text.clone(), 1050).await, [MethodResult::Pass], "{text}");
            assert_eq!(judged(text.clone(), 1101).await, [MethodResult::Policy]);
            assert_eq!(judged(text.replace("X: not", "X: never"), 1050).await, [MethodResult::Pass]);
            assert_eq!(
                judged(text.replace("X: not signed", "Subject: more"), 1050).await,
                [MethodResult::Fail]
            );
            let relaxed = if canon == Canon::Relaxed { MethodResult::Pass } else { MethodResult::Fail };
            assert_eq!(judged(text.replace("body  text ", "body text"), 1050).await, [relaxed]);
        }
    }
}

#[tokio::test]
async fn arc_chains() {
    let (one, zone_one) = key(NewKey::Rsa2048, "one.test");
    let (two, zone_two) = key(NewKey::Ed25519, "two.test");
    let zone = format!("{zone_one}{zone_two}");
    let mut message = "From: a@b.test\r\nSubject: x\r\n\r\nbody\r\n".to_owned();
    for (n, key) in [&one, &two, &one].into_iter().enumerate() {
        let found = findings(&zone, &message, 1000).await.arc.expect("asked");
        assert_eq!(
            found.result,
            if n == 0 { MethodResult::None } else { MethodResult::Pass },
            "{n} {message}"
        );
        let content = Content::Memory(message.clone().into());
        let section = Section::read(&content, false).expect("read");
        let hash = body_hash(&section, &content, Canon::Relaxed).await.expect("hashed");
        let results = format!("hop{n}.test;\r\n\tspf=pass smtp.mailfrom=a@b.test; arc=none (x=y)");
        let seal = arc::seal(&section, &found, &hash, &results, key, &options(Canon::Relaxed), 1000)
            .expect("sealed");
        message = format!("{}{message}", String::from_utf8_lossy(&seal));
    }
    let judged = |text: String| {
        let zone = zone.clone();
        async move { findings(&zone, &text, 1000).await.arc.expect("asked").result }
    };
    assert_eq!(judged(message.clone()).await, MethodResult::Pass, "{message}");
    for (from, to) in [
        ("hop0.test", "hopX.test"),
        ("\r\nbody", "\r\nmore"),
        ("i=2; hop1", "i=4; hop1"),
        ("cv=none", "cv=pass"),
        ("Subject: x", "Subject: y"),
    ] {
        assert_eq!(judged(message.replacen(from, to, 1)).await, MethodResult::Fail, "{to}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_name_server() {
    use MethodResult::TempError;
    let begin = tokio::time::Instant::now();
    let content = Content::Memory(FOOTBALL.to_owned().into());
    let section = Section::read(&content, false).expect("read");
    let client = Client {
        ip: "192.0.2.1".parse().expect("address"),
        helo: "x.example",
        sender: "joe@football.example.com",
        receiver: "mx.here",
    };
    let question =
        Question { section: &section, content: &content, client: Some(client), now: 1_600_000_000, lot: 0 };
    let methods = Methods { spf: true, dkim: true, dmarc: true, arc: true };
    let found = examine(&Silent, &question, methods).await.expect("examined");
    assert_eq!(begin.elapsed().as_secs(), 30);
    let dkim: Vec<_> = found.dkim.iter().flatten().map(|d| d.result).collect();
    assert_eq!((dkim, found.spf.map(|s| s.0.result)), (vec![TempError; 2], Some(SpfResult::TempError)));
    assert_eq!(found.dmarc.map(|d| d.result), Some(TempError));
}
