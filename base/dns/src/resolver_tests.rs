//! The resolver against a fake name server on loopback.

use super::*;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, SRV, TLSA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

type Zone = fn(&mut Message, &str, RecordType, Via) -> Does;

#[derive(Clone, Copy, PartialEq)]
enum Via {
    Udp,
    Tcp,
}

#[derive(PartialEq)]
enum Does {
    Answer,
    Nothing,
    /// A forged reply first (wrong id), then the right one.
    ForgedFirst,
}

struct Server {
    asked: Arc<Mutex<Vec<String>>>,
    port: u16,
}

impl Server {
    async fn start(address: &str, port: u16, zone: Zone) -> Server {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind((address, port)).await.unwrap();
            match UdpSocket::bind(tcp.local_addr().unwrap()).await {
                Ok(udp) => break (udp, tcp),
                Err(error) if port != 0 => panic!("{error}"),
                Err(_) => (),
            }
        };
        let port = tcp.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(serve_udp(udp, zone, asked.clone()));
        tokio::spawn(serve_tcp(tcp, zone, asked.clone()));
        Server { asked, port }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn respond(bytes: &[u8], zone: Zone, via: Via, asked: &Mutex<Vec<String>>) -> (Does, Vec<u8>) {
    let query = Message::from_vec(bytes).unwrap();
    let question = query.queries[0].clone();
    let name = question.name().to_ascii().trim_end_matches('.').to_owned();
    asked.lock().unwrap().push(format!("{name} {}", question.query_type()));
    let has_edns = query.edns.is_some();
    let mut reply = query.into_response();
    reply.edns = None;
    reply.metadata.authentic_data = false;
    if name == "noedns.test" && has_edns {
        reply.metadata.response_code = ResponseCode::FormErr;
        return (Does::Answer, reply.to_vec().unwrap());
    }
    let does = zone(&mut reply, &name, question.query_type(), via);
    (does, reply.to_vec().unwrap())
}

async fn serve_udp(socket: UdpSocket, zone: Zone, asked: Arc<Mutex<Vec<String>>>) {
    let mut buffer = [0; 4096];
    loop {
        let (len, peer): (usize, SocketAddr) = socket.recv_from(&mut buffer).await.unwrap();
        let (does, mut reply) = respond(&buffer[..len], zone, Via::Udp, &asked);
        match does {
            Does::Nothing => continue,
            Does::Answer => (),
            Does::ForgedFirst => {
                reply[0] ^= 0xff;
                socket.send_to(&reply, peer).await.unwrap();
                reply[0] ^= 0xff;
            }
        }
        socket.send_to(&reply, peer).await.unwrap();
    }
}

async fn serve_tcp(listener: TcpListener, zone: Zone, asked: Arc<Mutex<Vec<String>>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let len = stream.read_u16().await.unwrap();
        let mut bytes = vec![0; usize::from(len)];
        stream.read_exact(&mut bytes).await.unwrap();
        let (_, reply) = respond(&bytes, zone, Via::Tcp, &asked);
        let len = u16::try_from(reply.len()).unwrap().to_be_bytes();
        stream.write_all(&[&len[..], &reply].concat()).await.unwrap();
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

fn add(reply: &mut Message, owner: &str, data: RData) {
    reply.add_answer(Record::from_rdata(name(owner), 300, data));
}

fn a(text: &str) -> RData {
    RData::A(A(text.parse().unwrap()))
}

fn alias(text: &str) -> RData {
    RData::CNAME(CNAME(name(text)))
}

fn zone(reply: &mut Message, asked: &str, kind: RecordType, via: Via) -> Does {
    let code = match (asked, kind) {
        ("example.test", RecordType::MX) => {
            add(reply, asked, RData::MX(MX::new(10, name("mx1.example.test"))));
            add(reply, asked, RData::MX(MX::new(5, name("MX2.example.test"))));
            ResponseCode::NoError
        }
        ("_smtp._tcp.example.test", RecordType::SRV) => {
            add(reply, asked, RData::SRV(SRV::new(1, 20, 2525, name("Host.test"))));
            ResponseCode::NoError
        }
        ("_25._tcp.host.test", RecordType::TLSA) => {
            let (usage, selector, matching) = (CertUsage::DaneEe, Selector::Spki, Matching::Sha256);
            reply.metadata.authentic_data = true;
            add(reply, asked, RData::TLSA(TLSA::new(usage, selector, matching, vec![1, 2, 255])));
            ResponseCode::NoError
        }
        ("null.test", RecordType::MX) => {
            add(reply, asked, RData::MX(MX::new(0, Name::root())));
            ResponseCode::NoError
        }
        ("host.test" | "host.search.test", RecordType::A) => {
            reply.metadata.authentic_data = true;
            add(reply, asked, a("192.0.2.1"));
            ResponseCode::NoError
        }
        ("host.test", RecordType::AAAA) => {
            add(reply, asked, RData::AAAA(AAAA("2001:db8::1".parse().unwrap())));
            ResponseCode::NoError
        }
        ("v4.test", RecordType::A) => {
            add(reply, asked, a("192.0.2.4"));
            ResponseCode::NoError
        }
        ("half.test", RecordType::AAAA) => ResponseCode::ServFail,
        ("chain.test", RecordType::A) => {
            add(reply, asked, alias("middle.test"));
            add(reply, "middle.test", alias("end.test"));
            add(reply, "end.test", a("192.0.2.7"));
            ResponseCode::NoError
        }
        ("away.test", RecordType::A) => {
            add(reply, asked, alias("v4.test"));
            ResponseCode::NoError
        }
        ("loop.test" | "pool.test", RecordType::A) => {
            add(reply, "loop.test", alias("pool.test"));
            add(reply, "pool.test", alias("loop.test"));
            ResponseCode::NoError
        }
        ("endless.test", RecordType::A) => {
            add(reply, asked, alias("endless.test"));
            ResponseCode::NoError
        }
        ("big.test", RecordType::TXT) if via == Via::Udp => {
            reply.metadata.truncation = true;
            ResponseCode::NoError
        }
        ("big.test", RecordType::TXT) => {
            (0..150).for_each(|i| {
                add(reply, asked, RData::TXT(TXT::new(vec![format!("v{i} "), "joined".into()])))
            });
            ResponseCode::NoError
        }
        ("1.2.0.192.in-addr.arpa", RecordType::PTR) => {
            add(reply, asked, RData::PTR(PTR(name("host.test"))));
            ResponseCode::NoError
        }
        ("noedns.test", RecordType::A) => {
            add(reply, asked, a("192.0.2.5"));
            ResponseCode::NoError
        }
        ("forged.test", RecordType::A) => {
            add(reply, asked, a("192.0.2.6"));
            return Does::ForgedFirst;
        }
        ("nodata.test" | "half.test" | "v4.test" | "host.test" | "null.test", _) => ResponseCode::NoError,
        ("refused.test", _) => ResponseCode::Refused,
        ("servfail.test", _) => ResponseCode::ServFail,
        ("silent.test", _) => return Does::Nothing,
        _ => ResponseCode::NXDomain,
    };
    reply.metadata.response_code = code;
    if reply.answers.is_empty() {
        let soa = SOA::new(name("ns.test"), name("root.test"), 1, 2, 3, 4, 60);
        reply.add_authority(Record::from_rdata(name("test"), 60, RData::SOA(soa)));
    }
    Does::Answer
}

fn dead(_: &mut Message, _: &str, _: RecordType, _: Via) -> Does {
    Does::Nothing
}

fn broken(reply: &mut Message, _: &str, _: RecordType, _: Via) -> Does {
    reply.metadata.response_code = ResponseCode::ServFail;
    Does::Answer
}

struct Setup {
    resolver: Resolver,
    server: Server,
    _dir: tempfile::TempDir,
}

async fn setup(change: impl FnOnce(&mut Options)) -> Setup {
    setup_with("nameserver 127.0.0.1:PORT\nsearch search.test\noptions timeout:1 attempts:1\n", change).await
}

async fn setup_with(conf: &str, change: impl FnOnce(&mut Options)) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start("127.0.0.1", 0, zone).await;
    let (resolv_conf, hosts_file) = (dir.path().join("resolv.conf"), dir.path().join("hosts"));
    std::fs::write(&resolv_conf, conf.replace("PORT", &server.port.to_string())).unwrap();
    std::fs::write(&hosts_file, "192.0.2.99 listed.test alias.test\n2001:db8::99 listed.test\n").unwrap();
    let mut options = Options { resolv_conf, hosts_file, ..Options::default() };
    change(&mut options);
    Setup { resolver: Resolver::new(options), server, _dir: dir }
}

fn addresses(answer: Result<Answer<IpAddr>, DnsError>) -> String {
    match answer {
        Ok(answer) => answer.records.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn mail_exchangers() {
    let s = setup(|_| ()).await;
    let mx = s.resolver.mx("Example.TEST").await.unwrap();
    let got: Vec<_> = mx.records.iter().map(|mx| (mx.preference, mx.host.as_str())).collect();
    assert_eq!(got, [(10, "mx1.example.test"), (5, "MX2.example.test")]);
    assert_eq!(
        s.resolver.mx("null.test").await.unwrap().records,
        [Mx { preference: 0, host: String::new() }]
    );
}

#[tokio::test]
async fn errors_are_told_apart() {
    let s = setup(|_| ()).await;
    let cases = [
        ("nx.test", "Host not found"),
        ("nodata.test", "Host found but no data record of requested type"),
        ("servfail.test", "Host not found, try again"),
        ("refused.test", "Host not found, try again"),
        ("silent.test", "Host not found, try again"),
        ("loop.test", "Malformed or unexpected name server reply"),
        ("endless.test", "Malformed or unexpected name server reply"),
        ("a..b", "Host not found"),
        ("half.test", "Host not found, try again"),
    ];
    for (name, want) in cases {
        assert_eq!(addresses(s.resolver.addresses(name, true, true).await), want, "{name}");
    }
    let error = s.resolver.mx("nx.test").await.unwrap_err();
    assert_eq!(
        error.text("nx.test", "MX"),
        "Host or domain name not found. Name service error for name=nx.test type=MX: Host not found"
    );
}

#[tokio::test]
async fn addresses_and_literals() {
    let s = setup(|_| ()).await;
    let cases = [
        ("host.test", true, true, "192.0.2.1 2001:db8::1"),
        ("host.test", false, true, "2001:db8::1"),
        ("v4.test", true, true, "192.0.2.4"),
        ("v4.test", false, true, "Host found but no data record of requested type"),
        ("chain.test", true, false, "192.0.2.7"),
        ("away.test", true, false, "192.0.2.4"),
        ("noedns.test", true, false, "192.0.2.5"),
        ("forged.test", true, false, "192.0.2.6"),
        ("192.0.2.8", true, true, "192.0.2.8"),
        ("[IPv6:2001:db8::2]", true, true, "2001:db8::2"),
        ("[192.0.2.8]", false, true, "Host found but no data record of requested type"),
    ];
    for (name, v4, v6, want) in cases {
        assert_eq!(addresses(s.resolver.addresses(name, v4, v6).await), want, "{name}");
    }
    assert_eq!(s.resolver.addresses("chain.test", true, false).await.unwrap().name, "end.test");
}

#[tokio::test]
async fn large_answers_come_by_tcp_and_are_bounded() {
    let s = setup(|_| ()).await;
    let txt = s.resolver.txt("big.test").await.unwrap();
    assert_eq!(txt.records.len(), 100);
    assert_eq!(txt.records[1], b"v1 joined");
    assert_eq!(s.server.asked(), ["big.test TXT", "big.test TXT"]);
}

#[tokio::test]
async fn answers_and_absences_are_kept() {
    let s = setup(|_| ()).await;
    for _ in 0..3 {
        s.resolver.addresses("v4.test", true, false).await.unwrap();
        assert!(s.resolver.addresses("nx.test", true, false).await.is_err());
        assert!(s.resolver.addresses("servfail.test", true, false).await.is_err());
    }
    let mut asked = s.server.asked();
    asked.sort();
    assert_eq!(asked, ["nx.test A", "servfail.test A", "servfail.test A", "servfail.test A", "v4.test A"]);
}

#[tokio::test]
async fn the_next_server_is_asked() {
    let conf = "nameserver 127.0.0.2:PORT\nnameserver 127.0.0.3:PORT\nnameserver 127.0.0.1:PORT\noptions timeout:1 attempts:1\n";
    let s = setup_with(conf, |_| ()).await;
    let _dead = Server::start("127.0.0.2", s.server.port, dead).await;
    let broken = Server::start("127.0.0.3", s.server.port, broken).await;
    assert_eq!(addresses(s.resolver.addresses("v4.test", true, false).await), "192.0.2.4");
    assert_eq!(broken.asked(), ["v4.test A"]);
}

#[tokio::test]
async fn search_lists_and_hosts_files() {
    let s = setup(|_| ()).await;
    assert!(s.resolver.addresses("host", true, false).await.is_err());
    let cases = [
        ("host", Hosts::Native, "192.0.2.1"),
        ("host", Hosts::Dns, "Host not found"),
        ("host", Hosts::DnsThenNative, "192.0.2.1"),
        ("listed.test", Hosts::Native, "192.0.2.99 2001:db8::99"),
        ("Alias.test", Hosts::NativeThenDns, "192.0.2.99"),
        ("listed.test", Hosts::Dns, "Host not found"),
        ("v4.test", Hosts::NativeThenDns, "192.0.2.4"),
    ];
    for (name, hosts, want) in cases {
        assert_eq!(addresses(s.resolver.host(name, true, true, hosts).await), want, "{name} {hosts:?}");
    }
    let mut with_search = setup(|_| {}).await;
    with_search.resolver = with_search.resolver.with(Manner { defnames: true, ..Manner::default() });
    assert_eq!(addresses(with_search.resolver.addresses("host", true, false).await), "192.0.2.1");
}

#[tokio::test]
async fn names_of_addresses() {
    let s = setup(|_| ()).await;
    assert_eq!(s.resolver.ptr("192.0.2.1".parse().unwrap(), true).await.unwrap().records, ["host.test"]);
    assert_eq!(s.resolver.ptr("192.0.2.99".parse().unwrap(), true).await.unwrap().records, ["listed.test"]);
    assert_eq!(s.resolver.ptr("192.0.2.99".parse().unwrap(), false).await, Err(DnsError::NotFound));
}

#[tokio::test]
async fn the_ad_bit_counts_only_when_asked_for() {
    for dnssec in [false, true] {
        let mut s = setup(|_| {}).await;
        s.resolver = s.resolver.with(Manner { dnssec, ..Manner::default() });
        assert_eq!(s.resolver.addresses("host.test", true, false).await.unwrap().authentic, dnssec);
        assert!(!s.resolver.addresses("v4.test", true, false).await.unwrap().authentic);
    }
}

#[tokio::test]
async fn many_at_once_ask_once() {
    let s = setup(|_| ()).await;
    let lookups: Vec<_> = (0..50)
        .map(|_| {
            let resolver = s.resolver.clone();
            tokio::spawn(async move { resolver.addresses("v4.test", true, false).await })
        })
        .collect();
    for lookup in lookups {
        assert!(tokio::time::timeout(Duration::from_secs(10), lookup).await.unwrap().unwrap().is_ok());
    }
    assert_eq!(s.server.asked(), ["v4.test A"]);
}

#[tokio::test]
async fn service_and_certificate_records() {
    let s = setup(|_| {}).await;
    let srv = s.resolver.srv("_smtp._tcp.example.test").await.unwrap();
    assert_eq!(srv.records, [Srv { priority: 1, weight: 20, port: 2525, host: "Host.test".into() }]);
    let plain = s.resolver.tlsa("_25._tcp.host.test").await.unwrap();
    let vouched = s.resolver.dnssec().tlsa("_25._tcp.host.test").await.unwrap();
    assert_eq!((plain.authentic, vouched.authentic), (false, true));
    assert_eq!(vouched.records, [Tlsa { usage: 3, selector: 1, matching: 1, data: vec![1, 2, 255] }]);
    assert_eq!(s.resolver.tlsa("_25._tcp.v4.test").await, Err(DnsError::NotFound));
}

/// Drops what contains its text, breaks on `break`.
struct Drops(&'static str);

impl ReplyFilter for Drops {
    fn keeps<'a>(
        &'a self,
        record: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<bool, DnsError>> + Send + 'a>> {
        Box::pin(async move {
            if self.0 == "break" { Err(DnsError::FilterFailed) } else { Ok(!record.contains(self.0)) }
        })
    }
}

#[tokio::test]
async fn reply_filters() {
    let s = setup(|_| {}).await;
    let with = |text| s.resolver.with(Manner { filter: Some(Arc::new(Drops(text))), ..Manner::default() });
    let hosts = async |r: Resolver| r.mx("example.test").await.map(|a| a.records.len());
    assert_eq!(hosts(with("example.test. 300 IN MX 10 mx1.example.test.")).await, Ok(1));
    assert_eq!(hosts(with("nothing")).await, Ok(2));
    assert_eq!(hosts(with("IN MX")).await, Err(DnsError::Filtered));
    assert_eq!(hosts(with("break")).await, Err(DnsError::FilterFailed));
}
