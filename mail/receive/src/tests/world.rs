//! The fakes, and [`check`].

use crate::{Anvil, Deps, Screen, SmtpConfig, SmtpServer};
use base_calls::{
    AddressClass, Envelope, Fut, MessageAction, QueueId, Recipient, Resolution, RewriteContext, Route,
    RouteError, Submission, Submit, SubmitError, SubmitOptions, Submitted, Timestamp,
};
use base_conf::Config;
use base_log::{Captured, Log};
use base_net::PeerAddr;
use base_tables::Tables;
use mail_restrict::{Bounds, Decisions};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// A message that came in.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    pub envelope: Envelope,
    pub recipients: Vec<Recipient>,
    pub actions: Vec<MessageAction>,
    pub content: Vec<u8>,
}

#[derive(Clone, Default)]
pub struct Queue(pub Arc<Mutex<Vec<Taken>>>);

struct Draft(Queue, Taken);

const ID: QueueId = QueueId { time: Timestamp(1_000_000), slot: 0, long: false };

impl Submit for Queue {
    fn open(&self, envelope: Envelope, _: SubmitOptions) -> Result<Box<dyn Submission>, SubmitError> {
        Ok(Box::new(Draft(self.clone(), Taken { envelope, ..Taken::default() })))
    }
}

impl Submission for Draft {
    fn queue_id(&self) -> QueueId {
        ID
    }

    fn recipient(&mut self, recipient: Recipient) {
        self.1.recipients.push(recipient);
    }

    fn action(&mut self, action: MessageAction) {
        self.1.actions.push(action);
    }

    fn content<'a>(&'a mut self, chunk: &'a [u8]) -> Fut<'a, Result<(), SubmitError>> {
        self.1.content.extend_from_slice(chunk);
        Box::pin(std::future::ready(Ok(())))
    }

    fn finish(self: Box<Self>) -> Fut<'static, Result<Submitted, SubmitError>> {
        self.0.0.lock().expect("lock").push(self.1);
        Box::pin(std::future::ready(Ok(Submitted { id: ID })))
    }
}

/// example.com has alice and bob; relay.example is forwarded; the rest is elsewhere.
struct Router;

fn class(domain: &str) -> AddressClass {
    match domain {
        "example.com" => AddressClass::Local,
        "relay.example" => AddressClass::Relay,
        _ => AddressClass::Default,
    }
}

impl Route for Router {
    fn rewrite(&self, _: RewriteContext, address: &str) -> String {
        address.to_owned()
    }

    fn resolve<'a>(&'a self, _: &'a str, recipient: &'a str) -> Fut<'a, Result<Resolution, RouteError>> {
        let (_, domain) = recipient.rsplit_once('@').unwrap_or((recipient, "example.com"));
        let full =
            if recipient.contains('@') { recipient.to_owned() } else { format!("{recipient}@example.com") };
        Box::pin(std::future::ready(Ok(Resolution {
            transport: "local".into(),
            nexthop: domain.into(),
            recipient: full,
            class: class(domain),
            routed: recipient.matches(['@', '%']).count() > 1,
            invalid: domain.is_empty() || domain.contains(".."),
        })))
    }

    fn unlisted<'a>(
        &'a self,
        recipient: &'a str,
    ) -> Fut<'a, Result<Option<base_calls::Unlisted>, RouteError>> {
        let (local, domain) = recipient.rsplit_once('@').unwrap_or((recipient, "example.com"));
        let known = class(domain) != AddressClass::Local || ["alice", "bob", "postmaster"].contains(&local);
        Box::pin(std::future::ready(Ok((!known).then_some(base_calls::Unlisted::Class(AddressClass::Local)))))
    }
}

const MAIN_CF: &str = "\
compatibility_level = 3.6
myhostname = mail.example.com
mydomain = example.com
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_forbid_bare_newline = normalize
smtpd_forbid_bare_newline_exclusions =
smtpd_forbid_unauth_pipelining = no
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
";

/// What a test leaves behind.
pub struct World {
    pub queue: Queue,
    pub logged: Captured,
    server: SmtpServer,
    pub deps: Deps,
    stressed: bool,
}

impl World {
    pub fn new(main_cf: &str) -> Self {
        let cfg = Config::from_text(&format!("{MAIN_CF}{main_cf}\n")).service("smtp", &[]);
        let config = SmtpConfig::from_config(&cfg).expect("configuration");
        let (log, logged) = Log::test();
        let queue = Queue::default();
        let deps = Deps {
            submit: Arc::new(queue.clone()),
            route: Arc::new(Router),
            tables: Tables::new(base_tables::Options::default()),
            resolver: base_dns::Resolver::new(base_dns::Options::default()),
            log,
            opener: Arc::new(base_sys::opener::Plain),
            anvil: Anvil::new(),
            users: Anvil::new(),
            decisions: Arc::new(Decisions::new(Bounds { count: 100, bytes: 1 << 20 })),
            caches: Arc::new(base_cache::Caches::new(Arc::new(|_| ()))),
            verify: None,
            flush: None,
        };
        let server = SmtpServer::new(Arc::new(config), deps.clone()).expect("no open relay");
        Self { queue, logged, server, deps, stressed: false }
    }

    /// With postscreen(8) in front.
    pub fn behind(self, screen: impl FnOnce(Deps) -> Arc<Screen>) -> Self {
        let server = self.server.behind(screen(self.deps.clone()));
        Self { server, ..self }
    }

    /// With so many places for sessions.
    pub fn with_places(self, places: usize) -> Self {
        let server = self.server.clone().with_places(places);
        Self { server, ..self }
    }

    /// With a service that has reached its process limit.
    pub fn under_stress(self) -> Self {
        Self { stressed: true, ..self }
    }

    /// A connection from this address.
    pub fn connect(&self, from: &str) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(256 * 1024);
        let addr =
            |ip: &str, port| PeerAddr::inet((ip.parse::<std::net::IpAddr>().expect("address"), port).into());
        let (server, peer, local) = (self.server.clone(), addr(from, 40000), addr("127.0.0.1", 25));
        let stressed = self.stressed;
        tokio::spawn(async move { server.serve_under(Box::new(ours), peer, local, stressed).await });
        theirs
    }

    /// Bytes of the future that serves a connection.
    pub fn serve_size(&self) -> usize {
        let addr = PeerAddr::inet(([127, 0, 0, 1], 25).into());
        let (ours, _theirs) = tokio::io::duplex(1);
        size_of_val(&self.server.serve(Box::new(ours), addr, addr))
    }

    /// Plays a dialogue. `C: ` is sent with CRLF, `c: ` as it stands with escapes; `S: ` must come back;
    /// `S: EOF`: the server closes.
    pub async fn play(&self, from: &str, dialogue: &str) {
        let mut stream = self.connect(from);
        let mut input = Vec::new();
        for line in dialogue.lines().map(str::trim_start).filter(|l| !l.is_empty()) {
            match line.split_once(": ") {
                Some(("C", text)) => send(&mut stream, format!("{text}\r\n").as_bytes()).await,
                Some(("c", text)) => send(&mut stream, &unescape(text)).await,
                Some(("S", "EOF")) => assert_eq!(read_line(&mut stream, &mut input).await, None),
                Some(("S", want)) => {
                    let got = read_line(&mut stream, &mut input).await;
                    assert_eq!(got.as_deref(), Some(want), "in {dialogue}");
                }
                _ => panic!("not C: or S:: {line}"),
            }
        }
        drop(stream);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn send(stream: &mut DuplexStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
}

async fn read_line(stream: &mut DuplexStream, input: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(i) = input.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = input.drain(..=i).collect();
            return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        let mut buf = [0; 4096];
        match stream.read(&mut buf).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => input.extend_from_slice(&buf[..n]),
        }
    }
}

fn unescape(text: &str) -> Vec<u8> {
    text.replace("\\r", "\r").replace("\\n", "\n").into_bytes()
}

/// A configuration, a dialogue from 127.0.0.1, and log lines that must be there.
pub async fn check(main_cf: &str, dialogue: &str, log: &[&str]) -> World {
    check_from("127.0.0.1", main_cf, dialogue, log).await
}

/// Like [`check`] from another address.
pub async fn check_from(from: &str, main_cf: &str, dialogue: &str, log: &[&str]) -> World {
    let world = World::new(main_cf);
    world.play(from, dialogue).await;
    let texts = world.logged.texts();
    for line in log {
        assert!(texts.iter().any(|t| t == line), "no {line:?} in {texts:#?}");
    }
    world
}

/// The fake router.
pub fn router() -> Arc<dyn Route> {
    Arc::new(Router)
}
