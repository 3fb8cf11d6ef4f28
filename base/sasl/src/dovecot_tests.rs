//! Against a scripted Dovecot.

use super::*;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

const GREETING: &str =
    "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t2\nDONE\n";

/// `> ` lines are expected from the client, the others are sent (with `|` for TAB).
async fn play(stream: UnixStream, script: &str) {
    let (r, mut w) = stream.into_split();
    let mut lines = BufReader::new(r).lines();
    w.write_all(GREETING.as_bytes()).await.expect("greeting");
    for _ in 0..2 {
        lines.next_line().await.expect("handshake");
    }
    for step in script.lines().map(|l| l.trim().replace('|', "\t")) {
        match step.strip_prefix("> ") {
            Some(want) => {
                assert_eq!(lines.next_line().await.expect("line").as_deref(), Some(want));
            }
            None => w.write_all(format!("{step}\n").as_bytes()).await.expect("answer"),
        }
    }
}

fn request(mechanism: &str) -> Request {
    Request {
        mechanism: mechanism.into(),
        service: "smtp".into(),
        local: "127.0.0.1".into(),
        remote: "192.0.2.1".into(),
        secured: false,
    }
}

/// Plays the script on one connection after the other, and the responses in one exchange.
async fn check(scripts: &[&str], mechanism: &str, responses: &[Option<&str>]) -> Vec<Step> {
    let dir = tempfile::tempdir().expect("folder");
    let listener = UnixListener::bind(dir.path().join("auth")).expect("socket");
    let scripts: Vec<String> = scripts.iter().map(|s| (*s).to_owned()).collect();
    let server = tokio::spawn(async move {
        for script in scripts {
            play(listener.accept().await.expect("client").0, &script).await;
        }
    });
    let dovecot = Dovecot::new("auth", dir.path());
    let mut exchange = dovecot.start(request(mechanism));
    let mut steps = Vec::new();
    for r in responses {
        steps.push(exchange.step(*r).await);
    }
    drop((exchange, dovecot));
    server.abort();
    steps
}

#[tokio::test]
async fn plain_at_once() {
    let script = "> AUTH|1|plain|service=smtp|nologin|lip=127.0.0.1|rip=192.0.2.1|resp=YQ==
        FAIL|9|user=somebody else
        OK|1|user=alice";
    let steps = check(&[script], "plain", &[Some("YQ==")]).await;
    assert_eq!(steps, [Step::Success { user: "alice".into() }]);
}

#[tokio::test]
async fn login_in_steps() {
    let script = "> AUTH|1|LOGIN|service=smtp|nologin|lip=127.0.0.1|rip=192.0.2.1
        CONT|1|VXNlcm5hbWU6
        > CONT|1|YQ==
        FAIL|1|user=a|temp";
    let steps = check(&[script], "LOGIN", &[None, Some("YQ==")]).await;
    let failed = Failure { user: Some("a".into()), fresh: true, ..Failure::default() };
    assert_eq!(steps, [Step::Challenge("VXNlcm5hbWU6".into()), Step::Failed(failed)]);
}

#[tokio::test]
async fn refused_here() {
    let failed = |text: &str| Step::Failed(Failure::because(text));
    let steps = check(&[""], "FOO", &[None]).await;
    assert_eq!(steps, [failed("Invalid authentication mechanism")]);
    let steps = check(&[""], "PLAIN", &[Some("a b")]).await;
    assert_eq!(steps, [failed("Invalid base64 data in initial response")]);
}

#[tokio::test]
async fn the_service_dies() {
    let steps = check(&["> AUTH|1|LOGIN|service=smtp|nologin|lip=127.0.0.1|rip=192.0.2.1"], "LOGIN", &[None]);
    assert_eq!(steps.await, [Step::Failed(Failure::temporary(LOST))]);
}

#[tokio::test]
async fn a_dead_connection_is_replaced() {
    let dir = tempfile::tempdir().expect("folder");
    let listener = UnixListener::bind(dir.path().join("auth")).expect("socket");
    let dovecot = Dovecot::new("auth", dir.path());
    let first = tokio::spawn(async move {
        play(listener.accept().await.expect("client").0, "").await;
        listener
    });
    assert_eq!(dovecot.mechanisms().await.map(|m| m.len()), Ok(2));
    let listener = first.await.expect("server");
    let second = tokio::spawn(async move { play(listener.accept().await.expect("client").0, "").await });
    assert_eq!(dovecot.mechanisms().await.map(|m| m.len()), Ok(2));
    second.await.expect("server");
    drop(dir);
    let e = dovecot.mechanisms().await.expect_err("nobody is there").to_string();
    assert_eq!(e, "SASL: Connect to Dovecot auth socket 'auth' failed: No such file or directory");
}
