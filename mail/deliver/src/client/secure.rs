//! STARTTLS, wrapper mode, and what a server must prove (RFC 3207, TLS_README).
//!
//! Nothing that was read before the handshake survives it. At level `may` a handshake that fails leads to one more attempt
//! without TLS ([`NoTls::Plain`]) for mail that has waited already (`minimal_backoff_time`) and needs no login; else the mail waits.

use super::{
    config::ClientConfig,
    proof::{self, Identity, Proof},
    session::{Peer, Session},
    tls::{Level, Policy},
};
use crate::report::Reporter;
use base_calls::Diagnosis;
use base_dns::{DnsError, Resolver, Tlsa};
use base_net::{LineStream, split_host_port};
use base_tls::Target;
use proto_dsn::Status;
use proto_smtp::client::{ServerReply, Stage};

/// What a connection must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Demands {
    pub policy: Policy,
    /// The next hop as it was given.
    pub hop: String,
    /// What DNS says of the host, at the DANE levels.
    pub tlsa: Vec<Tlsa>,
}

/// What tells sessions with one address apart that may not be used for each other's mail.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    policy: Policy,
    tlsa: Vec<Tlsa>,
    /// Next hop and host, where they matter.
    names: Option<(String, String)>,
}

/// Why there is no encrypted session.
pub(crate) enum NoTls {
    /// The mail waits; whether the connection still stands.
    Failed(Box<Diagnosis>, bool),
    /// Once more, without TLS.
    Plain,
}

impl NoTls {
    fn failed(diagnosis: Diagnosis, alive: bool) -> Self {
        Self::Failed(Box::new(diagnosis), alive)
    }
}

fn later(detail: u16, text: String) -> Diagnosis {
    Diagnosis::new(Status::new(4, 7, detail), text)
}

impl Demands {
    /// The rules for a host, or why no mail may go there.
    pub async fn find(
        cfg: &ClientConfig,
        resolver: &Resolver,
        hop: &str,
        peer: &Peer,
        port: Option<u16>,
        log: &Reporter<'_>,
    ) -> Result<Self, Diagnosis> {
        let policy = cfg.tls.policy(hop, &peer.name).await.map_err(|bad| {
            bad.warnings.iter().for_each(|w| log.warning(w));
            later(5, bad.reason.to_owned())
        })?;
        let mut demands = Self { policy, hop: hop.to_owned(), tlsa: Vec::new() };
        if matches!(demands.policy.level, Level::Dane | Level::DaneOnly) {
            demands.ask_dns(resolver, peer, port, log).await?;
        }
        Ok(demands)
    }

    /// TLSA records of a host whose address is vouched for (RFC 7672 2.2). Nothing there: level `dane` is like `may`.
    async fn ask_dns(
        &mut self,
        resolver: &Resolver,
        peer: &Peer,
        port: Option<u16>,
        log: &Reporter<'_>,
    ) -> Result<(), Diagnosis> {
        let only = self.policy.level == Level::DaneOnly;
        let refuse = |text: &str| {
            log.warning(&format!("TLS policy lookup for {}/{}: {text}", self.hop, peer.name));
            later(5, text.to_owned())
        };
        let Some(port) = port else { return Ok(()) };
        let dnssec = resolver.dnssec();
        // An answer that cannot be had is no answer: who suppresses it must not get plain text for it (RFC 7672 2.1).
        let vouched = match dnssec.addresses(&peer.name, true, true).await {
            Ok(host) if host.authentic => self.exchangers_are_vouched_for(&dnssec).await,
            Ok(_) => Ok(false),
            Err(e) => no_word(e),
        };
        match vouched {
            Err(_) => return Err(refuse("TLSA lookup error")),
            Ok(false) if only => return Err(refuse("non DNSSEC destination")),
            Ok(false) => return Ok(()),
            Ok(true) => {}
        }
        match dnssec.tlsa(&format!("_{port}._tcp.{}", peer.name)).await {
            Ok(found) if found.authentic => {
                self.tlsa = proof::usable(found.records);
                // Records that cannot be used demand encryption all the same (RFC 7672 2.2).
                self.policy.level = if self.tlsa.is_empty() { Level::Encrypt } else { self.policy.level };
                Ok(())
            }
            Err(DnsError::TempFail(_)) => Err(refuse("TLSA lookup error")),
            _ if only => Err(refuse("no TLSA records found")),
            _ => Ok(()),
        }
    }

    async fn exchangers_are_vouched_for(&self, dnssec: &Resolver) -> Result<bool, DnsError> {
        if self.hop.starts_with('[') {
            return Ok(true);
        }
        let domain = split_host_port(&self.hop).map_or(self.hop.as_str(), |(h, _)| h);
        match dnssec.mx(domain).await {
            Ok(mx) => Ok(mx.authentic),
            Err(DnsError::NotFound | DnsError::NoData) => Ok(true),
            Err(e) => no_word(e),
        }
    }

    /// Whether the server must prove itself by DNS.
    fn is_dane(&self) -> bool {
        !self.tlsa.is_empty()
    }

    /// Without encryption nothing goes out.
    pub fn is_mandatory(&self) -> bool {
        self.policy.level.is_mandatory() || self.is_dane()
    }

    /// What a session made for these rules with `host` may be used for; `None`: it is as good as any in plain text.
    pub fn scope(&self, host: &str) -> Option<Scope> {
        if self.policy.level == Level::None {
            return None;
        }
        // Below these nobody looks at names, and the server hears none.
        let named = self.policy.level > Level::Encrypt || !self.policy.servername.is_empty();
        let names = named.then(|| (self.hop.clone(), host.to_owned()));
        Some(Scope { policy: self.policy.clone(), tlsa: self.tlsa.clone(), names })
    }
}

impl Session {
    /// STARTTLS was offered or not: the session afterwards is encrypted, or allowed not to be. True: encrypted now.
    pub(super) async fn starttls(
        &mut self,
        cfg: &ClientConfig,
        demands: &Demands,
        offered: bool,
        log: &Reporter<'_>,
    ) -> Result<bool, NoTls> {
        let level = demands.policy.level;
        if level == Level::None || self.tls.is_some() {
            if offered && cfg.tls.note_offer && self.tls.is_none() {
                log.note(&format!("Host offered STARTTLS: [{}]", self.peer.name));
            }
            return Ok(false);
        }
        let host = self.peer.namaddr();
        if !offered {
            return match demands.is_mandatory() {
                true => Err(NoTls::failed(
                    later(4, format!("TLS is required, but was not offered by host {host}")),
                    true,
                )),
                false => Ok(false),
            };
        }
        self.begin(cfg, Stage::Ehlo);
        self.stream.output().extend_from_slice(b"STARTTLS\r\n");
        let reply = self
            .reply(log)
            .await
            .map_err(|how| NoTls::failed(super::texts::broken(&self.peer, Stage::Ehlo, how), false))?;
        if reply.class() != 2 {
            return match demands.is_mandatory() {
                true => Err(NoTls::failed(refused(&self.peer, &reply), true)),
                false => Ok(false),
            };
        }
        self.handshake(cfg, demands, log).await.map(|()| true)
    }

    /// The handshake, and what it must prove.
    pub(super) async fn handshake(
        &mut self,
        cfg: &ClientConfig,
        demands: &Demands,
        log: &Reporter<'_>,
    ) -> Result<(), NoTls> {
        let may_be_plain = self.may_be_plain;
        let plain = || match demands.is_mandatory() || cfg.tls.wrapper || !may_be_plain {
            true => NoTls::failed(later(5, "Cannot start TLS: handshake failure".into()), false),
            false => NoTls::Plain,
        };
        let connector = cfg.tls.connector(&demands.policy);
        let (ready, complaints) = connector.ready();
        complaints.iter().for_each(|line| log.warning(line));
        let ready = ready.map_err(|problem| {
            problem.lines.iter().for_each(|line| log.warning(line));
            match plain() {
                NoTls::Plain => NoTls::Plain,
                NoTls::Failed(..) => NoTls::failed(
                    later(5, "TLS is required, but our TLS engine is unavailable".into()),
                    false,
                ),
            }
        })?;
        // Nothing that was read before the handshake is believed.
        self.stream.consume(usize::MAX);
        let nothing = LineStream::new(Box::new(tokio::io::empty()) as _, cfg.limits.hello);
        let Ok(io) = std::mem::replace(&mut self.stream, nothing).into_inner() else { return Err(plain()) };
        let target = Target { sni: self.server_name(demands) };
        match connector.connect(&ready, io, &target, cfg.tls.time_limit).await {
            Ok((io, tls)) => {
                self.stream = LineStream::new(io, cfg.limits.hello);
                self.reader = Default::default();
                self.prove(cfg, demands, tls, log)
            }
            Err(failure) => {
                log.identity.log.metrics().tls.client_failed.add_one();
                log.note(&format!("SSL_connect error to {}: {}", self.peer.namaddrport(), failure.words()));
                if let base_tls::Failure::Library(text) = &failure {
                    log.warning(text);
                }
                log.info("Cannot start TLS: handshake failure");
                Err(plain())
            }
        }
    }

    /// The name to ask for: `smtp_tls_servername`, or the host at the DANE levels (RFC 7672 8.1).
    fn server_name(&self, demands: &Demands) -> Option<String> {
        let domain = split_host_port(&demands.hop).map_or(demands.hop.as_str(), |(h, _)| h);
        match demands.policy.servername.as_str() {
            "" => demands.is_dane().then(|| self.peer.name.clone()),
            "hostname" => Some(self.peer.name.clone()),
            "nexthop" => Some(domain.to_owned()),
            name => Some(name.to_owned()),
        }
    }

    fn prove(
        &mut self,
        cfg: &ClientConfig,
        demands: &Demands,
        tls: base_tls::Session,
        log: &Reporter<'_>,
    ) -> Result<(), NoTls> {
        log.identity.log.metrics().tls.connected(tls.protocol);
        let domain = split_host_port(&demands.hop).map_or(demands.hop.as_str(), |(h, _)| h);
        let id = Identity {
            domain,
            host: &self.peer.name,
            digest: cfg.tls.digest,
            wide_wildcards: cfg.tls.wide_wildcards,
            tlsa: &demands.tlsa,
        };
        let proof = proof::judge(&demands.policy, tls.peer.as_ref(), &id);
        let server = self.peer.namaddrport().to_owned();
        let word = match (&proof, &tls.peer) {
            (Proof::Verified, _) => "Verified",
            (Proof::Failed(_), Some(_)) => "Untrusted",
            (_, None) => "Anonymous",
            (_, Some(p)) if p.trust.is_trusted() => "Trusted",
            _ => "Untrusted",
        };
        if let Proof::Failed(why) = &proof {
            let who = if why.starts_with("num=") { "server certificate" } else { "certificate" };
            log.note(&format!("{who} verification failed for {server}: {why}"));
        }
        if cfg.tls.log_level >= 1 {
            log.note(&format!("{word} TLS connection established to {server}: {}", tls.summary()));
        }
        if let Some(peer) = tls.peer.as_ref().filter(|_| cfg.tls.log_level >= 2) {
            log.note(&format!("{server}: {}", peer.log_text(cfg.tls.digest)));
        }
        self.verified = proof == Proof::Verified;
        self.tls = Some(Box::new(tls));
        match proof {
            Proof::Failed(_) => Err(NoTls::failed(later(5, "Server certificate not verified".into()), true)),
            Proof::Unasked | Proof::Verified => Ok(()),
        }
    }
}

/// Nothing is vouched for without an answer; an error when there may be one later.
fn no_word(error: DnsError) -> Result<bool, DnsError> {
    if matches!(error, DnsError::TempFail(_)) { Err(error) } else { Ok(false) }
}

fn refused(peer: &Peer, reply: &ServerReply) -> Diagnosis {
    let text = format!("TLS is required, but host {} refused to start TLS: {}", peer.namaddr(), reply.text);
    Diagnosis {
        remote_mta: Some(peer.name.clone()),
        diagnostic: Some(("smtp".into(), reply.text.clone())),
        ..Diagnosis::new(reply.failure_status(), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_for_others() {
        let demands = |level, servername: &str, hop: &str| Demands {
            policy: Policy { level, servername: servername.into(), ..Policy::default() },
            hop: hop.into(),
            tlsa: Vec::new(),
        };
        for (level, servername, shared) in [
            (Level::None, "", true),
            (Level::May, "", true),
            (Level::Encrypt, "", true),
            (Level::May, "nexthop", false),
            (Level::Dane, "", false),
            (Level::Secure, "", false),
        ] {
            let scope = |hop, host| demands(level, servername, hop).scope(host);
            assert_eq!(scope("a.test", "mx.test") == scope("b.test", "mx.test"), shared, "{level:?}");
            assert_eq!(scope("a.test", "mx1.test") == scope("a.test", "mx2.test"), shared, "{level:?}");
        }
        let plain = demands(Level::None, "", "a.test").scope("mx.test");
        assert_ne!(plain, demands(Level::May, "", "a.test").scope("mx.test"));
    }
}
