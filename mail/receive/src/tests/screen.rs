//! postscreen(8) and its limits: on all together, on each, and on the time of a command.

use super::world::World;
use crate::{Screen, ScreenConfig};
use base_conf::Config;
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

fn world(main_cf: &str) -> World {
    world_of(main_cf, 0)
}

/// With a server behind that serves so many at once; 0: any number.
fn world_of(main_cf: &str, served: usize) -> World {
    let text = format!(
        "myhostname = mail.example.com\nmynetworks = 127.0.0.0/8\npostscreen_greet_wait = 6s\npostscreen_cache_map =\n{main_cf}\n"
    );
    let config = ScreenConfig::from_config(&Config::from_text(&text)).expect("configuration");
    World::new("").behind(|deps| Arc::new(Screen::new(config, deps, served)))
}

/// All that comes until there is nothing more for so many seconds.
async fn heard(stream: &mut DuplexStream, seconds: u64) -> String {
    let mut out = Vec::new();
    let mut buf = [0; 4096];
    while let Ok(Ok(n)) = tokio::time::timeout(Duration::from_secs(seconds), stream.read(&mut buf)).await {
        if n == 0 {
            out.extend(b"EOF");
            break;
        }
        out.extend_from_slice(&buf[..n]);
    }
    String::from_utf8_lossy(&out).replace("\r\n", " ")
}

#[tokio::test(start_paused = true)]
async fn limits() {
    let w = world("postscreen_pre_queue_limit = 4\npostscreen_client_connection_count_limit = 50");
    let mut first = [w.connect("192.0.2.1"), w.connect("192.0.2.1")];
    for stream in &mut first {
        assert_eq!(heard(stream, 1).await, "220-mail.example.com ESMTP Postfix ");
    }
    // Half of the places, and not one more.
    let mut third = w.connect("192.0.2.1");
    assert_eq!(heard(&mut third, 1).await, "421 4.7.0 Error: too many connections EOF");
    let _more = [w.connect("2001:db8::1"), w.connect("2001:db8::2")];
    let mut same_network = w.connect("2001:db8::3");
    assert_eq!(heard(&mut same_network, 1).await, "421 4.7.0 Error: too many connections EOF");
    let mut other = w.connect("192.0.2.2");
    assert_eq!(heard(&mut other, 1).await, "421 4.3.2 All screening ports are busy EOF");
    // Who need not be tested does not wait for those who are.
    let mut near = w.connect("127.0.0.1");
    assert_eq!(heard(&mut near, 1).await, "220 mail.example.com ESMTP Postfix ");
    drop(first);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let kept = w.deps.decisions.about("192.0.2.2", 10);
    let kept = mail_restrict::Decision::decode(&kept[0]).expect("a decision");
    assert_eq!(
        (kept.service, kept.stage, kept.reply),
        ("postscreen", "CONNECT", "421 4.3.2 All screening ports are busy")
    );
    let mut other = w.connect("192.0.2.2");
    assert_eq!(heard(&mut other, 1).await, "220-mail.example.com ESMTP Postfix ");
    let texts = w.logged.texts();
    for line in [
        "NOQUEUE: reject: CONNECT from [192.0.2.1]:40000: too many connections",
        "reject: connect from [192.0.2.2]:40000: all screening ports busy",
    ] {
        assert!(texts.iter().any(|t| t == line), "no {line:?} in {texts:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_server_counts() {
    let w = world_of("postscreen_client_connection_count_limit = 1\npostscreen_post_queue_limit = 2", 1);
    let mut served = w.connect("127.0.0.1");
    assert_eq!(heard(&mut served, 1).await, "220 mail.example.com ESMTP Postfix ");
    // Served is no longer screened.
    let mut waits = w.connect("127.0.0.1");
    assert_eq!(heard(&mut waits, 1).await, "");
    let mut again = w.connect("127.0.0.1");
    assert_eq!(heard(&mut again, 1).await, "421 4.7.0 Error: too many connections EOF");
    let _second = w.connect("127.0.0.2");
    let mut third = w.connect("127.0.0.3");
    assert_eq!(heard(&mut third, 1).await, "421 4.3.2 All server ports are busy EOF");
    let _ = served.write_all(b"QUIT\r\n").await;
    assert_eq!(heard(&mut waits, 1).await, "220 mail.example.com ESMTP Postfix ");
}

#[tokio::test(start_paused = true)]
async fn offers_what_the_server_can_do() {
    for (main_cf, offered) in [("", true), ("smtputf8_enable = no", false)] {
        let w = world(&format!("compatibility_level = 3.6\npostscreen_pipelining_enable = yes\n{main_cf}"));
        let mut client = w.connect("192.0.2.1");
        let _ = heard(&mut client, 7).await;
        let _ = client.write_all(b"EHLO c\r\n").await;
        let keywords = heard(&mut client, 1).await;
        assert!(keywords.contains("8BITMIME"), "{keywords}");
        assert_eq!(keywords.contains("SMTPUTF8"), offered, "{main_cf}: {keywords}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_has_one_time_limit() {
    let w = world("postscreen_pipelining_enable = yes\npostscreen_command_time_limit = 10s");
    let mut slow = w.connect("192.0.2.1");
    assert!(heard(&mut slow, 7).await.ends_with("220 mail.example.com ESMTP Postfix "));
    for _ in 0..4 {
        let _ = slow.write_all(b"N").await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(heard(&mut slow, 1).await, "421 4.4.2 Error: command time limit exceeded EOF");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_leaves_no_trace() {
    let w = world("postscreen_pre_queue_limit = 100\npostscreen_client_connection_count_limit = 50");
    let crowd: Vec<DuplexStream> =
        (0..2000).map(|i| w.connect(&format!("192.0.{}.{}", i / 200, i % 200 + 1))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let count = |text: &str| w.logged.texts().iter().filter(|t| t.contains(text)).count();
    assert_eq!(count("all screening ports busy"), 1900);
    assert_eq!(count("entering STRESS mode with 90 connections"), 1);
    drop(crowd);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(count("leaving STRESS mode with 70 connections"), 1);
    let mut next = w.connect("192.0.2.1");
    assert_eq!(heard(&mut next, 1).await, "220-mail.example.com ESMTP Postfix ");
}

#[tokio::test(start_paused = true)]
async fn each_test_has_its_time() {
    let dir = tempfile::tempdir().expect("folder");
    let spec = format!("hash:{}", dir.path().join("ps").display());
    let w = world(&format!(
        "postscreen_cache_map = {spec}\npostscreen_greet_ttl = 1000s\npostscreen_pipelining_enable = yes
postscreen_pipelining_ttl = 2000s\npostscreen_non_smtp_command_enable = yes\npostscreen_non_smtp_command_ttl = 3000s
postscreen_bare_newline_enable = yes\npostscreen_bare_newline_ttl = 4000s"
    ));
    let start = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("clock").as_secs();
    let mut client = w.connect("192.0.2.1");
    let _ = heard(&mut client, 7).await;
    for line in ["EHLO c", "MAIL FROM:<a@b.example>", "RCPT TO:<alice@example.com>", "QUIT"] {
        let _ = client.write_all(format!("{line}\r\n").as_bytes()).await;
        let _ = heard(&mut client, 1).await;
    }
    let text = w.deps.caches.open(&spec).get("192.0.2.1").expect("a record");
    let ends = text.split(';').map(|n| n.parse::<u64>().expect("seconds").saturating_sub(start));
    for (end, want) in ends.zip([1000, 0, 2000, 3000, 4000]) {
        assert!((want..want + 60).contains(&end), "{text} from {start}");
    }
}
