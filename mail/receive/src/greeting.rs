//! The beginning of a connection: client names, counting, early talkers, the banner; also after XCLIENT.

use crate::{
    client,
    config::{LocalRewrite, discard_for},
    connection::{Connection, Flow, synchronization},
    milters::Word,
    tls::Level,
};
use base_log::lines::Connect;
use base_net::NetError;
use mail_restrict::{Peer, Stage};
use proto_dsn::Status;
use proto_smtp::{BareLf, Reply, server::Settings};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Instant,
};

impl Connection {
    // The beginning.

    pub(crate) async fn greet(&mut self) -> Result<Flow, NetError> {
        let shared = Arc::clone(&self.shared);
        let proxied = match shared.config.proxy.filter(|_| !self.screened) {
            Some(proxy) => self.proxied(proxy).await,
            None => Ok(()),
        };
        // DNS lists are asked at the same time as the client's names.
        if proxied.is_ok() {
            shared.restrict.scout(&self.facts(Stage::Connect), false);
        }
        if shared.config.peername_lookup {
            client::find_names(&mut self.peer, &shared.deps.resolver, &shared.deps.log, &self.source).await;
        }
        self.show_port();
        let p = &self.peer;
        let connect = Connect { name: &p.name, addr: &p.addr, port: &p.port_shown };
        shared.deps.log.line(&self.source, &connect);
        if let Err(text) = proxied {
            self.warning(format_args!("{text}"));
            let text = format!("{} Server local error", self.hostname());
            return self.close_with(Reply::new(421, Status::new(4, 3, 0), text)).await;
        }
        shared.restrict.scout(&self.facts(Stage::Connect), true);
        self.limited = !matches(&self.peer, &shared.lists.limit_exceptions).await;
        if !self.count_connection() {
            let text = format!("{} Error: too many connections from {}", self.hostname(), self.peer.addr);
            let reply = Reply::new(421, Status::new(4, 7, 0), text);
            self.remember_reply(&self.facts(Stage::Connect), Some(&reply));
            return self.close_with(reply).await;
        }
        if shared.config.tls.wrapper
            && shared.tls.is_some()
            && let Some(last) = Box::pin(self.wrapper_handshake()).await?
        {
            return self.close_with(last).await;
        }
        self.settle().await?;
        if let Some(flow) = self.early_talk().await? {
            return Ok(flow);
        }
        let (reply, flow) = self.greeting(Stage::Connect).await;
        self.send(reply).await?;
        Ok(flow)
    }

    /// `smtpd_client_port_logging`.
    pub(crate) fn show_port(&mut self) {
        if self.shared.config.port_logging {
            self.peer.port_shown = format!(":{}", self.port);
        }
    }

    /// Settings that depend on who the client is.
    pub(crate) async fn settle(&mut self) -> Result<(), NetError> {
        let mut settings = self.settings_for_client().await;
        self.activate_sasl(&mut settings).await?;
        self.session.restart(settings);
        self.session.set_authenticated(self.login.is_some());
        let shared = Arc::clone(&self.shared);
        if shared.config.bare_lf != BareLf::Allow
            && matches(&self.peer, &shared.lists.bare_lf_exclusions).await
        {
            self.bare_lf = BareLf::Allow;
        }
        self.rewrite_local = self.rewrites_locally().await;
        Ok(())
    }

    async fn settings_for_client(&mut self) -> Settings {
        let shared = Arc::clone(&self.shared);
        let mut settings = shared.config.settings.clone();
        settings.limits = self.pressure().limits;
        settings.encrypted = self.tls.is_some();
        settings.starttls = shared.tls.is_some() && !shared.config.tls.wrapper;
        settings.must_encrypt = shared.tls.is_some() && shared.config.tls.level == Level::Encrypt;
        settings.xclient = matches(&self.peer, &shared.lists.xclient).await;
        settings.xforward = matches(&self.peer, &shared.lists.xforward).await;
        settings.verp = matches(&self.peer, &shared.lists.verp).await;
        if !shared.lists.discard.is_empty() {
            let own = shared.lists.discard.find(&self.peer.addr).await.unwrap_or_default();
            let (set, bad) = discard_for(own, settings.discarded);
            settings.discarded = set;
            if let Some(word) = bad {
                shared.deps.log.warning(&self.source, format_args!("unknown EHLO keyword: {word}"));
            }
        }
        settings
    }

    /// `local_header_rewrite_clients`.
    pub(crate) async fn rewrites_locally(&mut self) -> bool {
        let Some(ip) = self.peer.ip else { return true };
        let shared = Arc::clone(&self.shared);
        for rule in &shared.lists.local_rewrite {
            let yes = match rule {
                LocalRewrite::InetInterfaces => ip.is_loopback() || self.peer.server_ip == Some(ip),
                LocalRewrite::Mynetworks => matches(&self.peer, &shared.lists.mynetworks).await,
                LocalRewrite::SaslAuthenticated => self.login.is_some(),
                LocalRewrite::TlsClientCerts { all } => self.knows_certificate(*all).await,
                LocalRewrite::AddressMap(maps) => maps.find(&self.peer.addr).await.is_ok_and(|v| v.is_some()),
            };
            if yes {
                return true;
            }
        }
        false
    }

    /// `permit_tls_clientcerts` and `permit_tls_all_clientcerts`.
    async fn knows_certificate(&mut self, all: bool) -> bool {
        let shared = Arc::clone(&self.shared);
        let Some(cert) = self.tls.as_ref().and_then(|t| t.client.clone()) else { return false };
        if all {
            return cert.trusted;
        }
        let maps = &shared.lists.relay_clientcerts;
        for key in [&cert.fingerprint, &cert.pubkey_fingerprint] {
            if maps.find(key).await.is_ok_and(|v| v.is_some()) {
                return true;
            }
        }
        false
    }

    /// Counts the client; false: there are too many of it.
    fn count_connection(&mut self) -> bool {
        let config = &self.shared.config;
        let (unit, limits) = (config.rate_unit, config.client_limits);
        if self.peer.ip.is_none() || !self.limited {
            return true;
        }
        let client = self.peer.ip.map_or_else(|| self.peer.addr.clone(), |ip| network(ip, config.prefixes));
        let (counted, n) =
            self.shared.deps.anvil.connect(&self.shared.service, &client, unit, Instant::now());
        self.counted = Some(counted);
        self.open_connections = n.open;
        let over = |value: u32, limit: u32| limit > 0 && value > limit;
        if over(n.open, share(limits.connections, self.places)) {
            self.over_limit("Connection concurrency", n.open);
            return false;
        }
        if over(n.rate, limits.connection_rate) {
            self.over_limit("Connection rate", n.rate);
            return false;
        }
        true
    }

    pub(crate) fn over_limit(&self, what: &str, value: u32) {
        let (from, service) = (self.peer.namaddr(), &self.shared.service);
        self.warning(format_args!("{what} limit exceeded: {value} from {from} for service {service}"));
    }

    /// The client talks before it was greeted.
    async fn early_talk(&mut self) -> Result<Option<Flow>, NetError> {
        if self.stream.arrived().await && self.improper_pipelining() {
            return self.close_with(synchronization()).await.map(Some);
        }
        Ok(None)
    }

    /// The banner, or a refusal in its place.
    pub(crate) async fn greeting(&mut self, stage: Stage) -> (Reply, Flow) {
        let mut memory = std::mem::take(&mut self.memory);
        let shared = Arc::clone(&self.shared);
        let outcome = shared.restrict.connect(&self.facts(stage), &mut memory).await;
        self.memory = memory;
        let Some(refusal) = outcome.refusal.map(crate::reply::of_refusal) else {
            return self.welcome().await;
        };
        self.remember_reply(&self.facts(stage), Some(&refusal));
        let denied = format!("Error: access denied for {}", self.peer.namaddr());
        self.session.deny(Reply::new(503, Status::new(5, 7, 0), denied));
        let closing = matches!(refusal.code, 421 | 521);
        (refusal, if closing { Flow::Close } else { Flow::Continue })
    }
}

impl Connection {
    /// The banner; milters may have another opinion.
    async fn welcome(&mut self) -> (Reply, Flow) {
        let word = match self.shared.config.milters {
            Some(_) => Box::pin(self.milter_connect()).await,
            None => Word::Nothing,
        };
        match word {
            Word::Refused(text) if text.starts_with("421") => {
                let text = format!("{} Service unavailable - try again later", self.hostname());
                (Reply::plain(421, text), Flow::Close)
            }
            Word::Refused(text) if text.starts_with('5') => (
                Reply::plain(554, format!("{} ESMTP not accepting connections", self.hostname())),
                Flow::Continue,
            ),
            _ => (Reply::plain(220, self.shared.config.banner.clone()), Flow::Continue),
        }
    }
}

/// `smtpd_client_connection_count_limit`, and no more than half of the service's places, so that one client cannot keep all others
/// out. Whoever has set no limit wants none.
pub(crate) fn share(limit: u32, places: usize) -> u32 {
    let half = u32::try_from(places / 2).unwrap_or(u32::MAX).max(1);
    if limit == 0 || places == 0 { limit } else { limit.min(half) }
}

/// The network that clients are counted by: the address itself when the prefix is as long.
pub(crate) fn network(ip: IpAddr, (v4, v6): (u8, u8)) -> String {
    match ip {
        IpAddr::V4(a) if v4 < 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(v4)).unwrap_or(0);
            format!("{}/{v4}", Ipv4Addr::from(u32::from(a) & mask))
        }
        IpAddr::V6(a) if v6 < 128 => {
            let mask = u128::MAX.checked_shl(128 - u32::from(v6)).unwrap_or(0);
            format!("{}/{v6}", Ipv6Addr::from(u128::from(a) & mask))
        }
        _ => ip.to_string(),
    }
}

/// Whether the list has the client. A list that cannot be asked has nobody.
pub(crate) async fn matches(peer: &Peer, list: &base_tables::MatchList) -> bool {
    let Some(ip) = peer.ip else { return !list.is_empty() };
    match list.matches_client_now(&peer.name, ip) {
        Some(answer) => answer.unwrap_or(false),
        None => list.matches_client(&peer.name, ip).await.unwrap_or(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let table = [(50, 100, 50), (50, 20, 10), (50, 1, 1), (5, 100, 5), (0, 20, 0), (50, 0, 50)];
        for (limit, places, want) in table {
            assert_eq!(share(limit, places), want, "{limit} of {places}");
        }
    }

    #[test]
    fn networks() {
        for (ip, prefixes, want) in [
            ("192.0.2.77", (32, 84), "192.0.2.77"),
            ("192.0.2.77", (24, 84), "192.0.2.0/24"),
            ("192.0.2.77", (0, 84), "0.0.0.0/0"),
            ("2001:db8:1:2:3:4:5:6", (32, 64), "2001:db8:1:2::/64"),
            ("2001:db8:1:2:3:4:5:6", (32, 84), "2001:db8:1:2:3::/84"),
            ("2001:db8::1", (32, 128), "2001:db8::1"),
        ] {
            assert_eq!(network(ip.parse().expect("address"), prefixes), want);
        }
    }
}
