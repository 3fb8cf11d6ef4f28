//! One connection to a server: connecting, the handshake, reading replies, leaving.

use super::{
    config::ClientConfig,
    hosts::Candidate,
    pix::Workarounds,
    sasl::Login,
    secure::{Demands, NoTls, Scope},
    texts,
    tls::Level,
};
use crate::report::Reporter;
use base_calls::{Diagnosis, Timestamp};
use base_net::{
    BoxIo, ConnectOptions, Excess, LineStream, NetError, PeerAddr, Socket, connect, connect_unix, os_text,
};
use base_tables::Maps;
use proto_smtp::{
    Features, Keyword,
    client::{Hello, HelloStep, ReplyReader, ServerReply, Stage, Taken},
};
use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Longest line of a reply; the rest is dropped.
const LINE: usize = 2048;
/// Most lines of an EHLO reply that are looked at.
const OFFERS: usize = 200;

/// What a session is with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum PeerKey {
    Inet(SocketAddr),
    Unix(PathBuf),
}

/// The server, in the forms that logs show.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Host name.
    pub name: String,
    /// Address or path.
    pub address: String,
    /// `host[address]:port`.
    pub relay: Arc<str>,
    pub key: PeerKey,
}

impl Peer {
    /// Of a candidate. `path` of a socket counts from the queue directory.
    pub fn new(cfg: &ClientConfig, candidate: &Candidate) -> Self {
        match candidate {
            Candidate::Inet { name, to } => Self {
                name: name.clone(),
                address: to.ip().to_string(),
                relay: format!("{name}[{}]:{}", to.ip(), to.port()).into(),
                key: PeerKey::Inet(*to),
            },
            Candidate::Unix(path) => Self {
                name: cfg.myhostname.clone(),
                address: path.clone(),
                relay: format!("{}[{path}]", cfg.myhostname).into(),
                key: PeerKey::Unix(cfg.queue_directory.join(path)),
            },
        }
    }

    /// `host[address]`.
    pub fn namaddr(&self) -> String {
        format!("{}[{}]", self.name, self.address)
    }

    /// `host[address]:port`.
    pub fn namaddrport(&self) -> &str {
        &self.relay
    }

    /// Whether it is the usual port: only there mail can loop.
    fn can_loop(&self, cfg: &ClientConfig) -> bool {
        matches!(self.key, PeerKey::Inet(to) if to.port() == cfg.default_port && !cfg.hello.lmtp)
    }
}

/// How a conversation ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Connection closed or broken, or what came was endless.
    Lost,
    /// Nothing came in time.
    TimedOut,
    /// The content could not be read.
    Local,
}

impl From<NetError> for Broken {
    fn from(e: NetError) -> Self {
        if matches!(e, NetError::TimedOut) { Self::TimedOut } else { Self::Lost }
    }
}

/// Why there is no session.
pub(crate) enum NoSession {
    /// No connection.
    Unreachable(Diagnosis),
    /// A connection, but no mail service.
    Refused(Diagnosis),
    /// Once more, without TLS.
    Plain,
}

impl From<NoTls> for Ended {
    fn from(n: NoTls) -> Self {
        match n {
            NoTls::Failed(diagnosis, alive) => Self::Refused(diagnosis, alive),
            NoTls::Plain => Self::Plain,
        }
    }
}

/// How a handshake ended without a session.
enum Ended {
    /// The reason, and whether the connection still stands.
    Refused(Box<Diagnosis>, bool),
    Plain,
}

/// What a session is made for.
#[derive(Debug, Clone)]
pub(crate) struct Purpose<'a> {
    /// The next hop.
    pub hop: &'a str,
    pub demands: &'a Demands,
    /// Who we are, when we are to log in.
    pub login: Option<&'a Login>,
}

impl Purpose<'_> {
    /// What tells its sessions from others with the same server, which is called `host`.
    pub fn variant(&self, host: &str) -> Variant {
        Variant { scope: self.demands.scope(host), login: self.login.cloned() }
    }
}

/// Sessions of the same variant with an address may be used for each other's mail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Variant {
    scope: Option<Scope>,
    login: Option<Login>,
}

/// A session after its handshake.
pub(crate) struct Session {
    pub peer: Peer,
    /// Our address, where it is to be reported.
    pub own: Option<IpAddr>,
    pub features: Features,
    pub stream: LineStream<BoxIo>,
    pub(super) reader: ReplyReader,
    /// The encryption.
    pub tls: Option<Box<base_tls::Session>>,
    /// The server has proved what the policy demands.
    pub verified: bool,
    pub variant: Variant,
    reusable: bool,
    /// Without TLS rather than not at all.
    pub(super) may_be_plain: bool,
    /// Deliveries so far.
    pub uses: u32,
    opened: Instant,
    /// QUIT was sent.
    pub quit_sent: bool,
    /// A reply made no sense: not for reuse.
    pub odd: bool,
    /// What a firewall on the way needs.
    pub pix: Workarounds,
    reply_filter: Option<Maps>,
    /// Limit and whether to wait for the answer, for [`Session::quit`].
    quit_limit: Duration,
    skip_quit_response: bool,
}

impl Session {
    /// Connects and says hello. Log lines about the connection go out here.
    pub async fn open(
        cfg: &ClientConfig,
        peer: Peer,
        purpose: &Purpose<'_>,
        log: &Reporter<'_>,
    ) -> Result<Self, NoSession> {
        let socket = match dial(cfg, &peer, log).await {
            Ok(s) => s,
            Err(e) => {
                let d = texts::unreachable(&peer, &os_text(&e));
                if matches!(peer.key, PeerKey::Inet(_)) {
                    log.identity.log.info(&log.source, &d.reason);
                }
                return Err(NoSession::Unreachable(d));
            }
        };
        let own = match cfg.reports.as_ref().and_then(|_| socket.local().ok()) {
            Some(PeerAddr::Inet(own)) => Some(own.ip()),
            _ => None,
        };
        let stream = LineStream::of_socket(socket, cfg.limits.hello);
        let variant = purpose.variant(&peer.name);
        let mut session = Self {
            peer,
            own,
            features: Features::default(),
            stream,
            reader: ReplyReader::default(),
            tls: None,
            verified: false,
            variant,
            reusable: purpose.demands.policy.reuse,
            may_be_plain: purpose.login.is_none() && log.waited() >= cfg.min_backoff,
            uses: 0,
            opened: Instant::now(),
            quit_sent: false,
            odd: false,
            pix: Workarounds::default(),
            reply_filter: cfg.reply_filter.clone(),
            quit_limit: cfg.limits.quit,
            skip_quit_response: cfg.skip_quit_response,
        };
        match session.greet(cfg, purpose, log).await {
            Ok(()) => Ok(session),
            Err(Ended::Plain) => Err(NoSession::Plain),
            Err(Ended::Refused(diagnosis, alive)) => {
                if alive {
                    tokio::spawn(session.quit());
                }
                Err(NoSession::Refused(*diagnosis))
            }
        }
    }

    /// Everything up to a session that mail may go through.
    async fn greet(
        &mut self,
        cfg: &ClientConfig,
        purpose: &Purpose<'_>,
        log: &Reporter<'_>,
    ) -> Result<(), Ended> {
        let refused = |(diagnosis, alive)| Ended::Refused(Box::new(diagnosis), alive);
        if cfg.tls.wrapper && purpose.demands.policy.level != Level::None {
            self.handshake(cfg, purpose.demands, log).await?;
        }
        self.hello(cfg, Hello::new(&cfg.hello), purpose.hop, log).await.map_err(refused)?;
        let offered = self.features.has(Keyword::StartTls);
        if self.starttls(cfg, purpose.demands, offered, log).await? {
            let (hello, line) = Hello::again(&cfg.hello);
            self.stream.output().extend_from_slice(line.as_bytes());
            self.hello(cfg, hello, purpose.hop, log).await.map_err(refused)?;
        }
        match (&cfg.sasl, purpose.login) {
            (Some(sasl), Some(login)) if self.features.has(Keyword::Auth) => {
                sasl.run(self, cfg, login, log).await.map_err(refused)
            }
            _ => Ok(()),
        }
    }

    /// The exchange of names; an error says whether the connection still stands.
    async fn hello(
        &mut self,
        cfg: &ClientConfig,
        mut hello: Hello<'_>,
        hop: &str,
        log: &Reporter<'_>,
    ) -> Result<(), (Diagnosis, bool)> {
        let mut own_name = false;
        loop {
            let stage = hello.stage();
            self.begin(cfg, stage);
            let mut lines = Vec::new();
            let reply = self
                .read(log, |l| lines.push(String::from_utf8_lossy(l).into_owned()))
                .await
                .map_err(|how| (texts::broken(&self.peer, stage, how), false))?;
            lines.truncate(OFFERS);
            if stage == Stage::Greeting && reply.class() == 2 {
                self.pix = cfg.pix.find(&reply.text, &self.peer, log).await;
                hello.set_plain(self.pix.disable_esmtp);
            }
            let step = hello.reply(reply, &lines);
            // An LMTP server on this machine, or a server on another port, rightly has our name.
            if self.peer.can_loop(cfg)
                && hello.server_name().eq_ignore_ascii_case(&cfg.myhostname)
                && !matches!(step, HelloStep::Refused(_))
            {
                own_name |= self.own_name(cfg, stage, log);
            }
            match step {
                HelloStep::Send(line) => self.stream.output().extend_from_slice(line.as_bytes()),
                HelloStep::Ready(_) if own_name => return Err((texts::loops(hop), true)),
                HelloStep::Ready(features) => {
                    self.features = features;
                    if stage == Stage::Helo {
                        return Ok(());
                    }
                    return self.discard(cfg, log).await.map_err(|d| (d, true));
                }
                HelloStep::Refused(reply) => {
                    let soft = stage == Stage::Greeting && cfg.skip_5xx_greeting;
                    return Err((texts::refused(&self.peer, &reply, soft), true));
                }
            }
        }
    }

    /// The server has our name: a warning, and a loop if it is no greeting.
    fn own_name(&self, cfg: &ClientConfig, stage: Stage, log: &Reporter<'_>) -> bool {
        let did = if stage == Stage::Greeting { "greeted me" } else { "replied to HELO/EHLO" };
        log.warning(&format!("host {} {did} with my own hostname {}", self.peer.relay, cfg.myhostname));
        stage != Stage::Greeting
    }

    /// `smtp_discard_ehlo_keyword_address_maps`.
    async fn discard(&mut self, cfg: &ClientConfig, log: &Reporter<'_>) -> Result<(), Diagnosis> {
        if cfg.discard_maps.is_empty() {
            return Ok(());
        }
        match cfg.discard_maps.find(&self.peer.address).await {
            Ok(None) => Ok(()),
            Ok(Some(words)) => {
                let discard = proto_smtp::Keywords::parse_discard(&words).unwrap_or_default();
                self.features.keywords = self.features.keywords.minus(discard);
                if !self.features.has(Keyword::Size) {
                    self.features.size = None;
                }
                Ok(())
            }
            Err(_) => {
                let id = log.delivery.message.id;
                let title = cfg.discard_maps.title();
                log.warning(&format!("{id}: {title} map lookup error for {}", self.peer.address));
                Err(texts::local(&self.peer))
            }
        }
    }

    /// The time limit of what comes next.
    pub fn begin(&mut self, cfg: &ClientConfig, stage: Stage) {
        self.stream.set_time_limit(cfg.limits.of(stage));
        if let Some(rate) = cfg.deadline {
            self.stream.begin_request(rate.filter(|_| stage == Stage::Body));
        }
    }

    /// Reads one reply; sends what is queued before. The caller has set the time limit.
    pub async fn reply(&mut self, log: &Reporter<'_>) -> Result<ServerReply, Broken> {
        self.read(log, |_| {}).await
    }

    async fn read(&mut self, log: &Reporter<'_>, mut each: impl FnMut(&[u8])) -> Result<ServerReply, Broken> {
        loop {
            let line = self.stream.read_line(LINE, Excess::Skip).await?;
            let other = match &self.reply_filter {
                Some(filter) => filtered(filter, line.bytes, &self.peer, log).await?,
                None => None,
            };
            let bytes = other.as_deref().unwrap_or(line.bytes);
            each(bytes);
            match self.reader.line(bytes) {
                Ok(Taken::Reply(reply)) => return Ok(reply),
                Ok(Taken::More) => {}
                Ok(Taken::NoReply) => {
                    self.odd = true;
                    if self.features.has(Keyword::Pipelining) {
                        warn_odd(&self.peer, &String::from_utf8_lossy(bytes), log);
                    }
                }
                Err(_) => return Err(Broken::Lost),
            }
        }
    }

    /// Whether we have said who we are.
    pub fn is_logged_in(&self) -> bool {
        self.variant.login.is_some()
    }

    /// Whether the session may serve another delivery.
    pub fn may_continue(&self, cfg: &ClientConfig) -> bool {
        !self.odd
            && (self.tls.is_none() || self.reusable)
            && (cfg.reuse_count == 0 || self.uses < cfg.reuse_count)
            && self.opened.elapsed() < cfg.reuse_time
    }

    /// Says goodbye. Meant to run on its own.
    pub async fn quit(mut self) {
        self.stream.end_request();
        self.stream.set_time_limit(self.quit_limit);
        if !self.quit_sent {
            self.stream.output().extend_from_slice(b"QUIT\r\n");
        }
        if self.stream.flush().await.is_ok() && !self.skip_quit_response {
            let _ = self.stream.read_line(LINE, Excess::Skip).await;
        }
    }

    /// When the connection was ready, for the delays of a delivery that starts on it now.
    pub fn ready_now() -> Timestamp {
        Timestamp::now()
    }
}

/// `smtp_reply_filter`: what counts instead of a line of a reply.
async fn filtered(
    filter: &Maps,
    line: &[u8],
    peer: &Peer,
    log: &Reporter<'_>,
) -> Result<Option<Vec<u8>>, Broken> {
    let found = filter.find_content(line).await.map_err(|e| {
        log.warning(&format!("{} lookup error for \"{}\"", e.table, String::from_utf8_lossy(line)));
        Broken::Local
    })?;
    if let Some(other) = &found {
        let (was, is) = (String::from_utf8_lossy(line), String::from_utf8_lossy(other));
        log.note(&format!("{}: replacing server reply \"{was}\" with \"{is}\"", peer.namaddrport()));
    }
    Ok(found)
}

/// Text that is no reply, on a pipelined connection: replies may be counted wrongly from here on.
fn warn_odd(peer: &Peer, text: &str, log: &Reporter<'_>) {
    let id = log.delivery.message.id;
    let lmtp = log.identity.program.ends_with("/lmtp");
    let (protocol, map) = if lmtp {
        ("LMTP", "lmtp_discard_lhlo_keyword_address_maps")
    } else {
        ("ESMTP", "smtp_discard_ehlo_keyword_address_maps")
    };
    log.warning(&format!("{id}: non-{protocol} response from {}: {text}", peer.namaddrport()));
    log.warning(&format!(
        "to prevent loss of mail, turn off command pipelining for {} with the {map} parameter",
        peer.address
    ));
}

/// A connection to a server, from the configured source address.
pub(crate) async fn dial_plainly(cfg: &ClientConfig, peer: &Peer) -> std::io::Result<Socket> {
    match &peer.key {
        PeerKey::Inet(to) => {
            let options =
                ConnectOptions { bind4: cfg.bind4, bind6: cfg.bind6, time_limit: cfg.limits.connect };
            connect(*to, &options).await
        }
        PeerKey::Unix(path) => connect_unix(path, cfg.limits.connect).await,
    }
}

async fn dial(cfg: &ClientConfig, peer: &Peer, log: &Reporter<'_>) -> std::io::Result<Socket> {
    match (dial_plainly(cfg, peer).await, &peer.key) {
        (Err(e), PeerKey::Inet(to)) if e.kind() == ErrorKind::AddrNotAvailable && !cfg.bind_enforce => {
            from_anywhere(cfg, *to, log, &e).await
        }
        (done, _) => done,
    }
}

/// The source address (`smtp_bind_address`) is not to be had: a warning, and the system's choice.
async fn from_anywhere(
    cfg: &ClientConfig,
    to: SocketAddr,
    log: &Reporter<'_>,
    error: &std::io::Error,
) -> std::io::Result<Socket> {
    let (v4, v6) = (cfg.bind4.map(IpAddr::V4), cfg.bind6.map(IpAddr::V6));
    let source = if to.is_ipv4() { v4 } else { v6 };
    let text = source.map_or(String::new(), |a| a.to_string());
    log.warning(&format!("smtp_connect_addr: bind {text}: {}", os_text(error)));
    connect(to, &ConnectOptions::within(cfg.limits.connect)).await
}
