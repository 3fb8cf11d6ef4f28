//! DNS lists as a session meets them: asked in parallel and early, never about those who are let in anyway, and harmless when
//! they are slow, down or wrong.

use crate::world::World;
use base_dns::{Options, Resolver};
use mail_restrict::{Login, Stage};
use std::{
    net::Ipv4Addr,
    ops::Deref,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::net::UdpSocket;

/// What a name server does with a name.
enum Does {
    Absent,
    Says(Ipv4Addr),
    Nothing,
}

type Zone = fn(&str) -> Does;

struct Server {
    asked: Arc<Mutex<Vec<String>>>,
    resolver: Resolver,
    _dir: tempfile::TempDir,
}

/// A name server that takes `delay` for every answer.
async fn server(delay: Duration, zone: Zone) -> Server {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut buf = [0; 1500];
        while let Ok((n, from)) = socket.recv_from(&mut buf).await {
            let (query, socket) = (buf[..n].to_vec(), Arc::clone(&socket));
            let name = question(&query);
            heard.lock().unwrap().push(name.clone());
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                if let Some(reply) = reply(&query, &zone(&name)) {
                    let _ = socket.send_to(&reply, from).await;
                }
            });
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("resolv.conf");
    std::fs::write(&conf, format!("nameserver {address}\noptions timeout:1 attempts:1\n")).unwrap();
    let resolver = Resolver::new(Options { resolv_conf: conf, ..Options::default() });
    Server { asked, resolver, _dir: dir }
}

fn question(query: &[u8]) -> String {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let len = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..at + 1 + len]).into_owned());
        at += len + 1;
    }
    labels.join(".")
}

/// Header, question and maybe an A record (RFC 1035 4).
fn reply(query: &[u8], does: &Does) -> Option<Vec<u8>> {
    let (code, answer) = match does {
        Does::Nothing => return None,
        Does::Absent => (3, None),
        Does::Says(ip) => (0, Some(ip)),
    };
    let end = 12 + query[12..].iter().position(|b| *b == 0)? + 5;
    // A TXT question has no answer here.
    let answer = answer.filter(|_| query[end - 3] == 1);
    let mut out =
        vec![query[0], query[1], 0x81, 0x80 | code, 0, 1, 0, u8::from(answer.is_some()), 0, 0, 0, 0];
    out.extend_from_slice(&query[12..end]);
    if let Some(ip) = answer {
        out.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        out.extend_from_slice(&ip.octets());
    }
    Some(out)
}

/// A world with a name server of its own.
struct Asking {
    world: World,
    server: Server,
}

impl Deref for Asking {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Asking {
    fn questions(&self) -> Vec<String> {
        self.server.asked.lock().unwrap().clone()
    }
}

async fn world(delay: u64, zone: Zone, main_cf: &str) -> Asking {
    let server = server(Duration::from_millis(delay), zone).await;
    Asking { world: World::new(main_cf, server.resolver.clone()), server }
}

/// `smtpd_recipient_restrictions` that ask so many lists.
fn lists(before: &str, count: usize) -> String {
    let lists: String = (0..count).map(|i| format!(", reject_rbl_client bl{i}.example")).collect();
    format!("smtpd_recipient_restrictions = {before}{lists}, permit")
}

#[tokio::test]
async fn many_slow_lists_take_the_time_of_one() {
    let w = world(500, |_| Does::Absent, &lists("reject_unauth_destination", 12)).await;
    let start = Instant::now();
    assert_eq!(w.session("192.0.2.1").rcpt().await.refusal, None);
    // One after the other they take 6 s, four at a time 1.5 s.
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    assert_eq!(w.questions().len(), 12);
    // What was asked when the client connected is not asked again.
    let session = w.session("192.0.2.2");
    session.scout(Stage::Connect);
    let end = Instant::now() + Duration::from_secs(20);
    while w.questions().len() < 24 {
        assert!(Instant::now() < end, "nothing is asked ahead: {:?}", w.questions());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(session.rcpt().await.refusal, None);
    assert_eq!(w.questions().len(), 24, "nothing is asked twice");
}

#[tokio::test]
async fn the_first_list_in_order_refuses() {
    fn zone(name: &str) -> Does {
        if name.contains("bl1.") || name.contains("bl3.") && name.starts_with('1') {
            return Does::Absent;
        }
        if name == "1.0.0.127.bl2.example" { Does::Absent } else { Does::Says(Ipv4Addr::new(127, 0, 0, 2)) }
    }
    let w =
        world(0, zone, &lists("permit_mynetworks", 4).replace("bl0.example, reject_rbl_client ", "")).await;
    let refusal = w.session("192.0.2.7").rcpt().await.refusal.expect("refused");
    assert_eq!(refusal.text, "Service unavailable; Client host [192.0.2.7] blocked using bl2.example");
}

#[tokio::test]
async fn those_who_are_let_in_are_not_asked_about() {
    let w = world(0, |_| Does::Absent, &lists("permit_mynetworks, permit_sasl_authenticated", 3)).await;
    let near = w.session("10.1.2.3");
    near.scout(Stage::Connect);
    near.scout(Stage::Mail);
    assert_eq!(near.rcpt().await.refusal, None);
    let mut user = w.session("192.0.2.1");
    // It may log in yet.
    user.scout(Stage::Connect);
    user.login = Some(Login { method: "PLAIN".into(), username: "u".into() });
    user.scout(Stage::Mail);
    assert_eq!(user.rcpt().await.refusal, None);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(w.questions(), Vec::<String>::new());
    let stranger = w.session("192.0.2.1");
    stranger.scout(Stage::Mail);
    assert_eq!(stranger.rcpt().await.refusal, None);
    assert_eq!(w.questions().len(), 3);
}

#[tokio::test]
async fn a_welcome_list_is_asked_early_about_strangers_only() {
    let list = "smtpd_recipient_restrictions = permit_dnswl_client wl.example, reject_unauth_destination";
    let w = world(0, |_| Does::Absent, list).await;
    let near = w.session("10.1.2.3");
    near.scout(Stage::Connect);
    near.scout(Stage::Mail);
    let mut user = w.session("192.0.2.1");
    // It may log in yet, and send elsewhere.
    user.scout(Stage::Connect);
    user.login = Some(Login { method: "PLAIN".into(), username: "u".into() });
    user.scout(Stage::Mail);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(w.questions(), Vec::<String>::new());
    let stranger = w.session("192.0.2.2");
    stranger.scout(Stage::Mail);
    assert_eq!(stranger.rcpt().await.refusal, None);
    assert_eq!(w.questions(), ["2.2.0.192.wl.example"]);
}

#[tokio::test]
async fn an_access_table_before_a_list_is_asked_first() {
    let main_cf = lists("check_client_access inline:{192.0.2.1=permit}", 2);
    let w = world(0, |_| Does::Absent, &main_cf).await;
    let session = w.session("192.0.2.1");
    session.scout(Stage::Connect);
    session.scout(Stage::Mail);
    assert_eq!(session.rcpt().await.refusal, None);
    assert_eq!(w.questions(), Vec::<String>::new());
}

#[tokio::test]
async fn a_dead_list_costs_little_and_is_told_of_once() {
    let w = world(0, |_| Does::Nothing, &lists("permit_mynetworks", 1)).await;
    let start = Instant::now();
    for i in 0..20 {
        assert_eq!(w.session(&format!("192.0.2.{i}")).rcpt().await.refusal, None);
    }
    // Three of them waited for the second that resolv.conf allows.
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    let told = w.logged.texts();
    assert_eq!(told.iter().filter(|t| t.contains("does not answer")).count(), 1, "{told:#?}");
    assert!(told.len() <= 3, "{told:#?}");
}

#[tokio::test]
async fn wrong_answers_refuse_nobody() {
    for (zone, want) in [
        ((|_| Does::Says(Ipv4Addr::new(127, 255, 255, 254))) as Zone, "a service error"),
        ((|_| Does::Says(Ipv4Addr::new(127, 0, 0, 2))) as Zone, "which no list may have"),
    ] {
        let w = world(0, zone, &lists("permit_mynetworks", 1)).await;
        for i in 0..5 {
            assert_eq!(w.session(&format!("192.0.2.{i}")).rcpt().await.refusal, None);
        }
        let told = w.logged.texts();
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].contains(want), "{told:#?}");
    }
}
