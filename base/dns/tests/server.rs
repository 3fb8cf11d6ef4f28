//! The resolver against a small name server on loopback.

use base_dns::{DnsError, Hosts, Mx, Options, Resolver};
use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{
        Name, RData, Record,
        rdata::{A, CNAME, MX, PTR, TXT},
    },
};
use std::{
    io::{Read, Write},
    net::{TcpListener, UdpSocket},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

fn name(text: &str) -> Name {
    Name::from_str(text).unwrap()
}

fn reply(query: &[u8], tcp: bool) -> Vec<u8> {
    let query = Message::from_vec(query).unwrap();
    let question = query.queries[0].clone();
    let mut m = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    m.add_query(question.clone());
    let asked = question.name().to_string();
    let mut add = |owner: &str, data| {
        m.add_answer(Record::from_rdata(name(owner), 60, data));
    };
    match (asked.as_str(), question.query_type().to_string().as_str()) {
        ("example.org.", "MX") => {
            add("example.org.", RData::MX(MX::new(10, name("mx.example.org."))));
            add("example.org.", RData::MX(MX::new(0, Name::root())));
        }
        ("mx.example.org.", "A") => add("mx.example.org.", RData::A(A::new(192, 0, 2, 1))),
        ("alias.example.org.", "A") => {
            add("alias.example.org.", RData::CNAME(CNAME(name("mx.example.org."))));
            add("mx.example.org.", RData::A(A::new(192, 0, 2, 1)));
        }
        ("loop.example.org.", "A") => {
            add("loop.example.org.", RData::CNAME(CNAME(name("pool.example.org."))));
            add("pool.example.org.", RData::CNAME(CNAME(name("loop.example.org."))));
        }
        ("big.example.org.", "A") if !tcp => m.metadata.truncation = true,
        ("big.example.org.", "A") => {
            (1..=150).for_each(|i| add("big.example.org.", RData::A(A::new(10, 0, 0, i))))
        }
        ("1.2.0.192.in-addr.arpa.", "PTR") => {
            add("1.2.0.192.in-addr.arpa.", RData::PTR(PTR(name("mx.example.org."))));
        }
        ("t.example.org.", "TXT") => {
            add("t.example.org.", RData::TXT(TXT::new(vec!["one ".into(), "two".into()])));
        }
        ("fail.example.org.", _) => m.metadata.response_code = ResponseCode::ServFail,
        ("no.example.org.", _) => m.metadata.response_code = ResponseCode::NXDomain,
        ("host.search.example.", "A") => add("host.search.example.", RData::A(A::new(192, 0, 2, 7))),
        _ => {}
    }
    m.to_vec().unwrap()
}

struct Server {
    questions: Arc<AtomicUsize>,
    resolver: Resolver,
    _dir: tempfile::TempDir,
}

fn server() -> Server {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(address).unwrap();
    let questions = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&questions);
    thread::spawn(move || {
        let mut buf = [0; 2048];
        while let Ok((n, from)) = udp.recv_from(&mut buf) {
            count.fetch_add(1, Ordering::SeqCst);
            // A stray answer first: it must be skipped.
            let mut stray = reply(&buf[..n], false);
            stray[0] ^= 0xff;
            udp.send_to(&stray, from).unwrap();
            udp.send_to(&reply(&buf[..n], false), from).unwrap();
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut query).unwrap();
            let answer = reply(&query, true);
            stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let (conf, hosts) = (dir.path().join("resolv.conf"), dir.path().join("hosts"));
    std::fs::write(
        &conf,
        format!("nameserver {address}\nsearch search.example\noptions timeout:2 attempts:1\n"),
    )
    .unwrap();
    std::fs::write(&hosts, "192.0.2.55 here.example here\n").unwrap();
    let resolver = Resolver::new(Options { resolv_conf: conf, hosts_file: hosts, ..Options::default() });
    Server { questions, resolver, _dir: dir }
}

#[tokio::test]
async fn records_of_each_kind() {
    let s = server();
    let mx = s.resolver.mx("Example.ORG.").await.unwrap();
    let (ten, null) =
        (Mx { preference: 10, host: "mx.example.org".into() }, Mx { preference: 0, host: String::new() });
    assert_eq!(mx.records, [ten, null]);
    assert_eq!(mx.ttl, 60);
    let ip: std::net::IpAddr = "192.0.2.1".parse().unwrap();
    assert_eq!(s.resolver.addresses("mx.example.org", true, true).await.unwrap().records, [ip]);
    let alias = s.resolver.addresses("alias.example.org", true, false).await.unwrap();
    assert_eq!((alias.records, alias.name.as_str()), (vec![ip], "mx.example.org"));
    assert_eq!(s.resolver.ptr(ip, false).await.unwrap().records, ["mx.example.org"]);
    assert_eq!(s.resolver.txt("t.example.org").await.unwrap().records, [b"one two".to_vec()]);
    assert_eq!(s.resolver.addresses("192.0.2.9", true, true).await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn truncated_answers_come_by_tcp_and_are_bounded() {
    let s = server();
    assert_eq!(s.resolver.addresses("big.example.org", true, false).await.unwrap().records.len(), 100);
}

#[tokio::test]
async fn failures_are_told_apart() {
    let s = server();
    let e = s.resolver.mx("no.example.org").await.unwrap_err();
    assert_eq!(e, DnsError::NotFound);
    assert_eq!(
        e.text("no.example.org", "MX"),
        "Host or domain name not found. Name service error for name=no.example.org type=MX: Host not found"
    );
    assert!(s.resolver.mx("fail.example.org").await.unwrap_err().is_temporary());
    assert_eq!(s.resolver.mx("mx.example.org").await.unwrap_err(), DnsError::NoData);
    assert!(matches!(s.resolver.addresses("loop.example.org", true, false).await, Err(DnsError::Invalid(_))));
    for bad in ["a..b", &"x".repeat(64), &"a.".repeat(200)] {
        assert_eq!(s.resolver.mx(bad).await, Err(DnsError::NotFound), "{bad}");
    }
}

#[tokio::test]
async fn equal_questions_are_asked_once() {
    let s = server();
    let (a, b) = tokio::join!(s.resolver.mx("example.org"), s.resolver.mx("EXAMPLE.org"));
    assert_eq!(a, b);
    s.resolver.mx("example.org").await.unwrap();
    assert_eq!(s.questions.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn native_lookups_read_hosts_and_search() {
    let s = server();
    let here = s.resolver.host("HERE", true, true, Hosts::Native).await.unwrap();
    assert_eq!(here.records, ["192.0.2.55".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(s.questions.load(Ordering::SeqCst), 0);
    assert_eq!(s.resolver.host("host", true, false, Hosts::Native).await.unwrap().records.len(), 1);
    assert!(s.resolver.host("host", true, false, Hosts::Dns).await.is_err());
    assert!(s.resolver.host("here", true, false, Hosts::DnsThenNative).await.is_ok());
    let ip = "192.0.2.55".parse().unwrap();
    assert_eq!(s.resolver.ptr(ip, true).await.unwrap().records, ["here.example"]);
}
