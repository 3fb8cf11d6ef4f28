//! What posttls-finger(1) tells of a server: one conversation up to EHLO under TLS, with the client's own rules for names,
//! authorities, fingerprints and DNS. Delivers nothing. [`finger`] never fails: whatever happens is a line.

use super::{
    config::{ClientConfig, Dialect},
    dane,
    hosts::{self, Candidate, NoHosts},
    nexthop::NextHop,
    proof, resolver, secure,
    session::{Peer, dial_plainly},
    tls::{Level, Policy},
};
use crate::Deps;
use base_calls::{
    Envelope, Fut, Resolution, RewriteContext, Route, RouteError, Submission, Submit, SubmitError,
    SubmitOptions, Unlisted,
};
use base_conf::{Config, Error, Service};
use base_dns::Tlsa;
use base_log::Log;
use base_net::{BoxIo, Excess, LineStream, os_text};
use base_sys::opener::Opener;
use base_tables::Tables;
use base_tls::{Certificate, Digest, Session, Target};
use base64::{Engine, engine::general_purpose::STANDARD};
use proto_dsn::Status;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Longest line of a reply, and the most lines of one.
const LINE: usize = 2048;
const LINES: usize = 200;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// As a next hop is written.
    pub destination: &'a str,
    /// LMTP (`-S`).
    pub lmtp: bool,
    /// TLS first (`-w`).
    pub wrapper: bool,
    /// Commands and replies are shown (not with `-c`).
    pub chat: bool,
    /// The line of the handshake is shown (`-L`).
    pub summary: bool,
    /// What matched in the certificate is shown (`-L`).
    pub matches: bool,
    /// The chain is shown in PEM (`-C`).
    pub chain: bool,
}

/// Asks a server. `cfg` has the options of the command as parameters; `say` shows a line of the log, `print` plain text.
pub async fn finger(
    request: Request<'_>,
    (service, cfg, deps): (&Service, &Config, &Deps),
    say: &(dyn Fn(&str) + Sync),
    print: &(dyn Fn(&str) + Sync),
) -> Result<(), Error> {
    let dialect = if request.lmtp { Dialect::Lmtp } else { Dialect::Smtp };
    let client = ClientConfig::new(dialect, service, cfg, deps)?;
    let resolver = resolver::open(dialect, service, cfg, deps)?;
    let hop = NextHop::parse(request.destination, dialect, client.dns, client.default_port)
        .map_err(|e| Error::new(e.to_string()))?;
    let found = hosts::find(&client, &resolver, &hop).await;
    found.warnings.iter().for_each(|w| say(&format!("warning: {w}")));
    let list = match found.hosts {
        Ok(list) => list,
        Err(NoHosts::Unresolved(d)) => {
            say(&format!("Destination address lookup failed: {}", d.reason));
            return Ok(());
        }
        Err(NoHosts::Loop) => {
            say("Destination address lookup failed: mail loops back to myself");
            return Ok(());
        }
    };
    for candidate in &list {
        let peer = Peer::new(&client, candidate);
        let stream = match dial_plainly(&client, &peer).await {
            Ok(socket) => LineStream::of_socket(socket, client.limits.hello),
            Err(e) => {
                say(&format!("connect to {}: {}", peer.namaddrport(), os_text(&e)));
                continue;
            }
        };
        if request.chat {
            say(&format!("Connected to {}", peer.namaddrport()));
        }
        let (policy, dns) = policy(&client, &resolver, request.destination, &peer, candidate, say).await;
        let talk = Talk { request, client: &client, peer: &peer, policy, dns, say, print, stream };
        if let Err(text) = talk.run().await {
            say(&text);
        }
        return Ok(());
    }
    Ok(())
}

impl Deps {
    /// For a command: nothing is queued, and nothing is routed.
    pub fn for_command(tables: Arc<Tables>, opener: Arc<dyn Opener>) -> Self {
        Self {
            log: Log::open(&base_log::Target::File("/dev/null".into())),
            resolver: base_dns::Resolver::new(base_dns::Options::default()),
            tables,
            route: Arc::new(Nobody),
            submit: Arc::new(Nobody),
            opener,
            caches: Arc::new(base_cache::Caches::new(Arc::new(|_| ()))),
            queue_directory: PathBuf::from("/"),
            transports: Arc::default(),
        }
    }
}

/// Routes nothing and takes nothing.
struct Nobody;

impl Route for Nobody {
    fn rewrite(&self, _: RewriteContext, address: &str) -> String {
        address.to_owned()
    }

    fn resolve<'a>(&'a self, _: &'a str, _: &'a str) -> Fut<'a, Result<Resolution, RouteError>> {
        Box::pin(async { Err(RouteError { status: Status::new(4, 3, 0), text: "no routes".into() }) })
    }

    fn unlisted<'a>(&'a self, _: &'a str) -> Fut<'a, Result<Option<Unlisted>, RouteError>> {
        Box::pin(async { Ok(None) })
    }
}

impl Submit for Nobody {
    fn open(&self, _: Envelope, _: SubmitOptions) -> Result<Box<dyn Submission>, SubmitError> {
        Err(SubmitError::new(451, Status::new(4, 3, 0), "no queue"))
    }
}

/// Records of a host, and where they are.
type Records = (Vec<Tlsa>, String);

/// The rules for a host. Where DNS says nothing that can be used, the DANE levels are `secure` (posttls-finger(1) `-l`).
async fn policy(
    client: &ClientConfig,
    resolver: &base_dns::Resolver,
    destination: &str,
    peer: &Peer,
    candidate: &Candidate,
    say: &(dyn Fn(&str) + Sync),
) -> (Policy, Records) {
    let nothing = (Vec::new(), String::new());
    let policy = match client.tls.policy(destination, &peer.name, &|w| say(&format!("warning: {w}"))).await {
        Ok(policy) => policy,
        Err(bad) => {
            bad.warnings.iter().for_each(|w| say(&format!("warning: {w}")));
            return (client.tls.at(Level::Secure), nothing);
        }
    };
    let (Level::Dane | Level::DaneOnly, Candidate::Inet { to, .. }) = (policy.level, candidate) else {
        return (policy, nothing);
    };
    match dane::of_host(client, &resolver.dnssec(), &peer.name, to.port()).await {
        Ok(dane::Found::Records(records, base)) => {
            let sorted = proof::sorted(records, &client.tls.dane_digests);
            for record in sorted.other_usage.iter().chain(&sorted.unusable) {
                say(&format!("warning: {}: unusable TLSA RR: {record}", peer.namaddrport()));
            }
            if !sorted.usable.is_empty() {
                return (policy, (sorted.usable, base));
            }
        }
        Ok(dane::Found::Nothing(_)) => {}
        Err(e) => say(&format!("warning: DANE TLSA lookup problem: {e}")),
    }
    (client.tls.at(Level::Secure), nothing)
}

/// The conversation.
struct Talk<'a> {
    request: Request<'a>,
    client: &'a ClientConfig,
    peer: &'a Peer,
    policy: Policy,
    dns: Records,
    say: &'a (dyn Fn(&str) + Sync),
    print: &'a (dyn Fn(&str) + Sync),
    stream: LineStream<BoxIo>,
}

impl Talk<'_> {
    async fn run(mut self) -> Result<(), String> {
        if self.request.wrapper {
            self.handshake().await?;
        }
        let greeting = self.reply().await?;
        if !greeting.first().is_some_and(|l| l.starts_with('2')) {
            return Err(format!("SMTP service not available: {}", greeting.join("; ")));
        }
        let offered = self.hello().await?;
        let wanted = !self.request.wrapper && self.policy.level != Level::None;
        if offered && wanted {
            let ready = self.command("STARTTLS").await?;
            if ready.first().is_some_and(|l| l.starts_with('2')) {
                self.handshake().await?;
                self.hello().await?;
            }
        }
        self.command("QUIT").await.map(drop)
    }

    /// EHLO; whether STARTTLS is offered.
    async fn hello(&mut self) -> Result<bool, String> {
        let verb = if self.request.lmtp { "LHLO" } else { "EHLO" };
        let lines = self.command(&format!("{verb} {}", self.client.hello.name)).await?;
        Ok(lines
            .iter()
            .skip(1)
            .any(|l| l.get(4..).is_some_and(|w| w.trim().eq_ignore_ascii_case("STARTTLS"))))
    }

    async fn command(&mut self, text: &str) -> Result<Vec<String>, String> {
        if self.request.chat {
            (self.say)(&format!("> {text}"));
        }
        self.stream.set_time_limit(self.limit());
        self.stream.output().extend_from_slice(format!("{text}\r\n").as_bytes());
        self.reply().await
    }

    fn limit(&self) -> Duration {
        self.client.limits.hello
    }

    async fn reply(&mut self) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        loop {
            let lost = |_| format!("lost connection with {}", self.peer.namaddrport());
            let line = self.stream.read_line(LINE, Excess::Skip).await.map_err(lost)?;
            let text = String::from_utf8_lossy(line.bytes).into_owned();
            if self.request.chat {
                (self.say)(&format!("< {text}"));
            }
            let more = text.as_bytes().get(3) == Some(&b'-') && lines.len() < LINES;
            lines.push(text);
            if !more {
                return Ok(lines);
            }
        }
    }

    async fn handshake(&mut self) -> Result<(), String> {
        let connector = self.client.tls.connector(&self.policy);
        let ready = connector.ready().0.map_err(|p| p.lines.join("; "))?;
        self.stream.consume(usize::MAX);
        let nothing = LineStream::new(Box::new(tokio::io::empty()) as _, self.limit());
        let stream = std::mem::replace(&mut self.stream, nothing);
        let io = stream.into_inner().map_err(|_| "unsent commands".to_owned())?;
        let sni = match self.dns.1.as_str() {
            "" => Some(self.policy.servername.clone()).filter(|n| !n.is_empty()),
            base => Some(base.to_owned()),
        };
        let server = self.peer.namaddrport();
        let shaken = connector
            .connect(&ready, io, &Target { sni, session: String::new() }, self.client.tls.time_limit)
            .await;
        let (io, session) = shaken.map_err(|failure| match failure {
            base_tls::Failure::Library(text) => format!("SSL_connect error to {server}: {text}"),
            other => format!("SSL_connect error to {server}: {}", other.words()),
        })?;
        self.stream = LineStream::new(io, self.limit());
        self.tell(&session);
        Ok(())
    }

    /// What the certificate proves.
    fn tell(&self, session: &Session) {
        let server = self.peer.namaddrport();
        let warn = |w: &str| (self.say)(&format!("warning: {w}"));
        let anchors = self.client.tls.trust_anchors(&self.policy, &warn).ok().flatten();
        let id = proof::Identity {
            domain: secure::domain_of(self.request.destination),
            host: &self.peer.name,
            base: &self.dns.1,
            digest: self.client.tls.digest,
            wide_wildcards: self.client.tls.wide_wildcards,
            tlsa: &self.dns.0,
            anchors: anchors.as_deref(),
        };
        let verdict = proof::judge(&self.policy, session.peer.as_ref(), &id);
        if self.request.matches {
            self.tell_match(session, &verdict, &id);
        }
        if let Some(peer) = session.peer.as_ref().filter(|_| self.request.summary) {
            let text = peer.log_text(id.digest).replacen(", issuer=", ", issuer_CN=", 1);
            (self.say)(&format!("{server}: {text}"));
        }
        if self.request.summary {
            let word = proof::word(&verdict, session.peer.as_ref());
            (self.say)(&format!("{word} TLS connection established to {server}: {}", session.summary()));
        }
        if self.request.chain {
            (self.print)(&chain(session, id.digest));
        }
    }

    fn tell_match(&self, session: &Session, verdict: &proof::Proof, id: &proof::Identity<'_>) {
        let server = self.peer.namaddrport();
        let Some(peer) = &session.peer else { return };
        match proof::matched(&self.policy, peer, id) {
            Some(text) => (self.say)(&format!("{server}: {text}")),
            // Names are told of first, whether the chain is trusted or not.
            None if self.policy.level >= Level::Verify => {
                let why = proof::MISMATCH;
                return (self.say)(&format!("server certificate verification failed for {server}: {why}"));
            }
            None => {}
        }
        if let proof::Proof::Failed(subject, why) = verdict {
            (self.say)(&format!("{} verification failed for {server}: {why}", subject.words()));
        }
    }
}

/// The certificates that came, each with its names and digests.
fn chain(session: &Session, digest: Digest) -> String {
    let mut out = String::from("\n---\nCertificate chain\n");
    let Some(peer) = &session.peer else { return out };
    let ders = std::iter::once(&peer.certificate.der).chain(&peer.issuers);
    for (i, der) in ders.enumerate() {
        let Some(c) = Certificate::parse(der) else { continue };
        out.push_str(&format!("{i:2} subject: {}\n    issuer: {}\n", c.subject, c.issuer));
        out.push_str(&format!("   cert digest={}\n", c.fingerprint(digest)));
        out.push_str(&format!("   pkey digest={}\n", c.key_fingerprint(digest)));
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(der);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            out.push_str(line);
            out.push('\n');
            rest = more;
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}
