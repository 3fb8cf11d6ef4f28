//! STARTTLS, wrapper mode, and what a server must prove (RFC 3207, TLS_README).
//!
//! Nothing that was read before the handshake survives it. At level `may` a handshake that fails leads to one more attempt
//! without TLS ([`NoTls::Plain`]) for mail that has waited already (`minimal_backoff_time`) and needs no login; else the mail waits.

use super::{
    config::ClientConfig,
    dane,
    proof::{self, Identity, Proof},
    requiretls,
    session::{Peer, Session},
    sts, texts,
    tls::{Level, Policy},
    tls_reports::{Trouble, trouble},
};
use crate::{report::Reporter, tls_report::Fault};
use base_calls::Diagnosis;
use base_dns::{Resolver, Tlsa};
use base_net::{LineStream, split_host_port};
use base_tls::Target;
use proto_dsn::Status;
use proto_smtp::client::{ServerReply, Stage};
use std::sync::Arc;

/// What a connection must be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Demands {
    pub policy: Policy,
    /// The level before DNS was asked.
    pub wanted: Level,
    /// The next hop as it was given.
    pub hop: String,
    /// How far the sender's demand for TLS all the way is heeded; `None`: there is none.
    pub requiretls: Option<requiretls::Level>,
    /// What DNS says of the host, at the DANE levels.
    pub tlsa: Vec<Tlsa>,
    /// The name below which it says so (RFC 7671 7): the host, or what the host is an alias for. Empty without records.
    pub base: String,
    /// Records that are of no use, for the log.
    pub unusable: Vec<String>,
    /// The host's own name may be forged: a certificate that is as DNS says proves less.
    pub forgeable: bool,
    /// The domain's MTA-STS policy.
    pub published: Option<sts::Policy>,
    /// What it would demand, when it is in testing: that is only told.
    pub trial: Option<Box<Policy>>,
    /// Something is not as the domain says, and mail goes out all the same.
    pub flaw: Option<Trouble>,
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

/// A next hop without brackets and port.
pub(crate) fn domain_of(hop: &str) -> &str {
    split_host_port(hop).map_or(hop, |(host, _)| host).trim_matches(['[', ']'])
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
        let policy = cfg.tls.policy(hop, &peer.name, &|w| log.warning(w)).await.map_err(|bad| {
            bad.warnings.iter().for_each(|w| log.warning(w));
            later(5, bad.reason.to_owned())
        })?;
        let wanted = policy.level;
        let mut demands = Self { policy, wanted, hop: hop.to_owned(), ..Self::default() };
        demands.heed(cfg, log).await?;
        if matches!(demands.policy.level, Level::Dane | Level::DaneOnly)
            && let Err((why, fault)) = dane::ask(&mut demands, cfg, resolver, (peer, port), log).await
        {
            if let Some(fault) = fault {
                demands.count(cfg, (peer, None), || Some((fault, why.reason.clone())), log);
            }
            return Err(why);
        }
        demands.ask_policy(cfg, resolver, peer, log).await?;
        if demands.requiretls == Some(requiretls::Level::Enforce) && !demands.is_proving() {
            return Err(texts::no_requiretls(peer, "there is no way to verify the certificate of"));
        }
        Ok(demands)
    }

    /// What the sender wants (RFC 8689): `TLS-Required: no` is content with opportunistic encryption, REQUIRETLS with nothing less
    /// than the destination's policy says.
    async fn heed(&mut self, cfg: &ClientConfig, log: &Reporter<'_>) -> Result<(), Diagnosis> {
        let envelope = &log.delivery.message.envelope;
        if envelope.tls_is_optional() && cfg.tls_required && self.policy.level > Level::May {
            self.policy = cfg.tls.at(Level::May);
        }
        if envelope.requires_tls() {
            let level = cfg.requiretls.level(self.domain()).await.map_err(|text| {
                log.warning(&text);
                later(5, "client TLS configuration problem".to_owned())
            })?;
            self.requiretls = Some(level);
            if level >= requiretls::Level::StartTls && self.policy.level < Level::Encrypt {
                self.policy = cfg.tls.at(Level::Encrypt);
            }
        }
        self.wanted = self.policy.level;
        Ok(())
    }

    /// Which hosts the destination's policy names: that of an entry of the policy table, or the domain's own (MTA-STS). DNS has
    /// precedence where it names the server's key (RFC 8461 2).
    async fn ask_policy(
        &mut self,
        cfg: &ClientConfig,
        resolver: &Resolver,
        peer: &Peer,
        log: &Reporter<'_>,
    ) -> Result<(), Diagnosis> {
        if !self.policy.hosts.is_empty() {
            let hosts = sts::Policy::of_hosts(self.policy.hosts.clone());
            return if hosts.names(&peer.name) { Ok(()) } else { Err(self.not_named(peer)) };
        }
        let weak = self.policy.level != Level::None && !self.is_proving();
        let waived = cfg.tls_required && log.delivery.message.envelope.tls_is_optional();
        let wanted = weak && self.is_by_name() && !self.policy.explicit && !waived;
        let Some(sts) = cfg.sts.as_ref().filter(|_| wanted) else { return Ok(()) };
        let (policy, trouble) = sts.policy(resolver, self.domain()).await;
        if let Some(trouble) = trouble {
            log.warning(&trouble.1);
            self.count(cfg, (peer, None), || Some(trouble), log);
        }
        let Some(policy) = policy else { return Ok(()) };
        let named = policy.names(&peer.name);
        let (demanded, mode) = (cfg.tls.published(&sts.authorities), policy.mode);
        self.published = Some(policy);
        let stranger = || {
            let why = self.not_named(peer);
            ((Fault::ValidationFailure, why.reason.clone()), why)
        };
        match mode {
            sts::Mode::Enforce if !named => {
                let (flaw, why) = stranger();
                self.count(cfg, (peer, None), || Some(flaw), log);
                return Err(why);
            }
            sts::Mode::Enforce => self.policy = demanded,
            _ if !named => {
                let (flaw, why) = stranger();
                log.note(&format!("MTA-STS testing: {}", why.reason));
                self.flaw = Some(flaw);
            }
            _ => self.tried(demanded),
        }
        self.wanted = self.policy.level;
        Ok(())
    }

    /// A policy in testing: the server is asked by the same name and judged by the same authorities as if it were enforced.
    fn tried(&mut self, published: Policy) {
        if self.policy.servername.is_empty() {
            self.policy.servername.clone_from(&published.servername);
        }
        self.policy.authorities.clone_from(&published.authorities);
        self.trial = Some(Box::new(published));
    }

    fn not_named(&self, peer: &Peer) -> Diagnosis {
        later(5, format!("host {} is not named by the MTA-STS policy of {}", peer.namaddr(), self.domain()))
    }

    /// The next hop is a domain whose mail exchangers are asked for.
    pub fn is_by_name(&self) -> bool {
        !self.hop.starts_with('[') && split_host_port(&self.hop).is_some_and(|(_, port)| port.is_none())
    }

    /// The next hop without brackets and port.
    pub fn domain(&self) -> &str {
        domain_of(&self.hop)
    }

    /// The server must prove who it is.
    fn is_proving(&self) -> bool {
        match self.policy.level {
            Level::Dane | Level::DaneOnly => self.is_dane(),
            level => level > Level::Encrypt,
        }
    }

    /// There are records, and all are of no use.
    pub fn falls_back(&self) -> bool {
        self.tlsa.is_empty() && !self.unusable.is_empty()
    }

    /// The level that counts after DNS was asked.
    pub fn effective(&self) -> Level {
        match self.policy.level {
            Level::Dane if !self.is_dane() => Level::May,
            level => level,
        }
    }

    /// Whether the server must prove itself by DNS.
    pub fn is_dane(&self) -> bool {
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
        // A policy in testing looks at each server anew, too.
        let named = named || self.trial.is_some();
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
            let trouble = || Some((Fault::StarttlsNotSupported, "not offered".to_owned()));
            self.count(cfg, demands, trouble, log);
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
            .map_err(|how| NoTls::failed(texts::broken(&self.peer, Stage::Ehlo, how), false))?;
        if reply.class() != 2 {
            let trouble = || Some((Fault::StarttlsNotSupported, reply.text.clone()));
            self.count(cfg, demands, trouble, log);
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
        self.tell_of_records(demands, log);
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
        let session = self.peer.namaddrport().to_owned();
        let target = Target { sni: self.server_name(demands), session };
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
                let trouble = || Some((Fault::ValidationFailure, failure.words().to_owned()));
                self.count(cfg, demands, trouble, log);
                let end = plain();
                if matches!(end, NoTls::Plain) {
                    log.info("Cannot start TLS: handshake failure");
                }
                Err(end)
            }
        }
    }

    /// The name to ask for: `smtp_tls_servername`, or the one below which the records are (RFC 7672 8.1).
    fn server_name(&self, demands: &Demands) -> Option<String> {
        if demands.is_dane() {
            return Some(demands.base.clone());
        }
        match demands.policy.servername.as_str() {
            "" => None,
            "hostname" => Some(self.peer.name.clone()),
            "nexthop" => Some(demands.domain().to_owned()),
            name => Some(name.to_owned()),
        }
    }

    /// TLSA records of no use, and what follows when there are no others.
    fn tell_of_records(&self, demands: &Demands, log: &Reporter<'_>) {
        let server = self.peer.namaddrport();
        for record in &demands.unusable {
            log.warning(&format!("{server}: unusable TLSA RR: {record}"));
        }
        if demands.falls_back() {
            log.warning(&format!("{server}: all TLSA records unusable, fallback to unauthenticated TLS"));
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
        // A file that has just become unreadable leads nowhere: nothing is trusted.
        let anchors_of = |policy: &Policy| {
            let found = cfg.tls.trust_anchors(policy, &|w| log.warning(w));
            found.unwrap_or_else(|_| Some(Arc::default()))
        };
        let anchors = anchors_of(&demands.policy);
        let id = Identity {
            anchors: anchors.as_deref(),
            domain: demands.domain(),
            base: &demands.base,
            host: &self.peer.name,
            digest: cfg.tls.digest,
            wide_wildcards: cfg.tls.wide_wildcards,
            tlsa: &demands.tlsa,
        };
        let proof = proof::judge(&demands.policy, tls.peer.as_ref(), &id);
        let server = self.peer.namaddrport().to_owned();
        let word = match proof {
            Proof::Verified if demands.forgeable => "Trusted",
            _ => proof::word(&proof, tls.peer.as_ref()),
        };
        if let Proof::Failed(subject, why) = &proof {
            log.note(&format!("{} verification failed for {server}: {why}", subject.words()));
        }
        let untrusted = tls.peer.as_ref().map(|p| &p.trust).filter(|_| demands.falls_back());
        if let Some(base_tls::Trust::Untrusted(why)) = untrusted {
            log.note(&format!("certificate verification failed for {server}: {why}"));
        }
        if cfg.tls.log_level >= 1 {
            log.note(&format!("{word} TLS connection established to {server}: {}", tls.summary()));
        }
        if let Some(peer) = tls.peer.as_ref().filter(|_| cfg.tls.log_level >= 2) {
            log.note(&format!("{server}: {}", peer.log_text(cfg.tls.digest)));
        }
        let trial = demands.trial.as_ref().map(|policy| {
            let anchors = anchors_of(policy);
            proof::judge(policy, tls.peer.as_ref(), &Identity { anchors: anchors.as_deref(), ..id })
        });
        if let Some(Proof::Failed(_, why)) = &trial {
            log.note(&format!("MTA-STS testing: certificate verification failed for {server}: {why}"));
        }
        let useless = || {
            let text = || "all TLSA records unusable".to_owned();
            demands.falls_back().then(|| (Fault::TlsaInvalid, text()))
        };
        let of_trial = || trial.as_ref().and_then(trouble);
        let trouble = || trouble(&proof).or_else(of_trial).or_else(useless).or_else(|| demands.flaw.clone());
        self.count(cfg, demands, trouble, log);
        self.verified = proof == Proof::Verified && !demands.forgeable;
        self.tls = Some(Box::new(tls));
        match proof {
            Proof::Failed(..) => Err(NoTls::failed(later(5, "Server certificate not verified".into()), true)),
            Proof::Unasked | Proof::Verified => Ok(()),
        }
    }
}

impl Session {
    fn count(
        &self,
        cfg: &ClientConfig,
        demands: &Demands,
        trouble: impl FnOnce() -> Option<Trouble>,
        log: &Reporter<'_>,
    ) {
        demands.count(cfg, (&self.peer, self.own), trouble, log);
    }
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
            wanted: level,
            hop: hop.into(),
            ..Demands::default()
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
