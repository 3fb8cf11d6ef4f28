//! The hosts of a next hop in the order of trying: MX by preference, equal ones shuffled, addresses by family
//! (RFC 5321 5.1, RFC 7505, RFC 974's loop rule).

use super::{
    config::{ClientConfig, Preference},
    nexthop::NextHop,
    srv, texts,
};
use base_calls::Diagnosis;
use base_dns::{DnsError, Hosts, Mx, Resolver, Srv};
use base_net::Protocols;
use proto_dsn::Status;
use rand::seq::SliceRandom;
use std::net::{IpAddr, SocketAddr};

/// A place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// A host's name and one of its addresses.
    Inet { name: String, to: SocketAddr },
    /// A UNIX-domain socket.
    Unix(String),
}

/// Why there are no candidates.
#[derive(Debug)]
pub(crate) enum NoHosts {
    /// The name service says so; another next hop may help.
    Unresolved(Box<Diagnosis>),
    /// We are the best host ourselves.
    Loop,
}

/// Where names are looked up; a test has its own.
pub(crate) trait Names: Sync {
    fn mx(&self, name: &str) -> impl Future<Output = Result<Vec<Mx>, DnsError>> + Send;
    fn srv(&self, name: &str) -> impl Future<Output = Result<Vec<Srv>, DnsError>> + Send;
    fn addresses(
        &self,
        name: &str,
        families: Protocols,
        hosts: Hosts,
    ) -> impl Future<Output = Result<Vec<IpAddr>, DnsError>> + Send;
}

impl Names for Resolver {
    async fn mx(&self, name: &str) -> Result<Vec<Mx>, DnsError> {
        Resolver::mx(self, name).await.map(|a| a.records)
    }

    async fn srv(&self, name: &str) -> Result<Vec<Srv>, DnsError> {
        Resolver::srv(self, name).await.map(|a| a.records)
    }

    async fn addresses(
        &self,
        name: &str,
        families: Protocols,
        hosts: Hosts,
    ) -> Result<Vec<IpAddr>, DnsError> {
        self.host(name, families.v4, families.v6, hosts).await.map(|a| a.records)
    }
}

/// What was found, and what the administrator should know.
pub(crate) struct Found {
    pub hosts: Result<Vec<Candidate>, NoHosts>,
    pub warnings: Vec<String>,
}

/// Asks for the hosts of one next hop.
pub(crate) async fn find(cfg: &ClientConfig, resolver: &impl Names, hop: &NextHop) -> Found {
    let mut warnings = Vec::new();
    let hosts = match hop {
        NextHop::Unix(path) => Ok(vec![Candidate::Unix(path.clone())]),
        NextHop::Host { host, port } => single(cfg, resolver, host, *port).await,
        NextHop::Domain { domain, port, service } => {
            let service = (domain.as_str(), service.as_deref());
            match of_service(cfg, resolver, service, &mut warnings).await {
                Some(hosts) => hosts,
                None => exchangers(cfg, resolver, domain, *port, &mut warnings).await,
            }
        }
    };
    Found { hosts: hosts.map(|list| limited(cfg, list)), warnings }
}

/// At most `smtp_mx_address_limit` hosts. With `smtp_balance_inet_protocols` half of them are kept for the family that would
/// otherwise get fewer.
fn limited(cfg: &ClientConfig, mut list: Vec<Candidate>) -> Vec<Candidate> {
    let limit = cfg.mx_address_limit;
    if limit == 0 || list.len() <= limit {
        return list;
    }
    if cfg.balance {
        let six = list.iter().filter(|c| c.is_v6()).count();
        let (mut four, mut six) = shares(limit, list.len() - six, six);
        list.retain(|c| {
            let left = if c.is_v6() { &mut six } else { &mut four };
            let stays = *left > 0;
            *left = left.saturating_sub(1);
            stays
        });
    }
    list.truncate(limit);
    list
}

/// How many IPv4 and IPv6 addresses stay below a limit that there are too many for.
fn shares(limit: usize, four: usize, six: usize) -> (usize, usize) {
    let half = limit / 2;
    if four <= half {
        (four, limit - four)
    } else if six <= half {
        (limit - six, six)
    } else {
        (limit - half, half)
    }
}

impl Candidate {
    fn is_v6(&self) -> bool {
        matches!(self, Self::Inet { to, .. } if to.is_ipv6())
    }
}

/// The hosts of a service; `None` when its domain's mail exchangers are to be asked.
async fn of_service(
    cfg: &ClientConfig,
    resolver: &impl Names,
    (domain, service): (&str, Option<&str>),
    warnings: &mut Vec<String>,
) -> Option<Result<Vec<Candidate>, NoHosts>> {
    let records = match cfg.srv.ask(resolver, domain, service).await {
        srv::Answer::Hosts(records) => records,
        srv::Answer::Other => return None,
        srv::Answer::Failed(why) => return Some(Err(NoHosts::Unresolved(why))),
    };
    let (mut list, mut last_error) = (Vec::new(), None);
    for record in &records {
        match addresses(cfg, resolver, &record.host).await {
            Ok(found) => list.extend(candidates(&record.host, ordered(cfg, found), record.port)),
            Err(e) => last_error = Some((e, record.host.as_str())),
        }
    }
    if !list.is_empty() {
        return Some(Ok(list));
    }
    warnings.push(format!("no SRV host for {domain} has a valid address record"));
    if cfg.srv.falls_back() { None } else { Some(Err(no_address(cfg, domain, last_error))) }
}

async fn addresses(cfg: &ClientConfig, resolver: &impl Names, name: &str) -> Result<Vec<IpAddr>, DnsError> {
    let p = cfg.protocols;
    if let Ok(ip) = name.parse::<IpAddr>() {
        return if p.allows(ip) { Ok(vec![ip]) } else { Err(DnsError::NotFound) };
    }
    resolver.addresses(name, p, cfg.hosts).await
}

/// The record type that a failure names: the one asked for last.
fn kind(cfg: &ClientConfig) -> &'static str {
    if cfg.protocols.v6 { "AAAA" } else { "A" }
}

fn unresolved(cfg: &ClientConfig, error: &DnsError, name: &str) -> NoHosts {
    NoHosts::Unresolved(Box::new(texts::dns(error, name, kind(cfg))))
}

async fn single(
    cfg: &ClientConfig,
    resolver: &impl Names,
    host: &str,
    port: u16,
) -> Result<Vec<Candidate>, NoHosts> {
    let found = addresses(cfg, resolver, host).await.map_err(|e| unresolved(cfg, &e, host))?;
    Ok(candidates(host, ordered(cfg, found), port))
}

fn candidates(name: &str, addresses: Vec<IpAddr>, port: u16) -> Vec<Candidate> {
    let one = |ip| Candidate::Inet { name: name.to_owned(), to: SocketAddr::new(ip, port) };
    addresses.into_iter().map(one).collect()
}

/// Addresses of one host in the order of trying.
fn ordered(cfg: &ClientConfig, mut list: Vec<IpAddr>) -> Vec<IpAddr> {
    if cfg.randomize && list.len() > 1 {
        list.shuffle(&mut rand::rng());
    }
    match cfg.preference {
        Preference::Any => {}
        Preference::V4 => list.sort_by_key(IpAddr::is_ipv6),
        Preference::V6 => list.sort_by_key(IpAddr::is_ipv4),
    }
    list
}

async fn exchangers(
    cfg: &ClientConfig,
    resolver: &impl Names,
    domain: &str,
    port: u16,
    warnings: &mut Vec<String>,
) -> Result<Vec<Candidate>, NoHosts> {
    let records = match resolver.mx(domain).await {
        Ok(records) => records,
        Err(e) if e.is_absent() || cfg.ignore_mx_lookup_error => {
            return by_address(cfg, resolver, domain, port).await;
        }
        Err(e) => return Err(NoHosts::Unresolved(Box::new(texts::dns(&e, domain, "MX")))),
    };
    if let [mx] = &records[..]
        && (mx.host.is_empty() || mx.host == ".")
    {
        let text = format!("Domain {domain} does not accept mail (nullMX)");
        return Err(NoHosts::Unresolved(Box::new(Diagnosis::new(Status::new(5, 1, 0), text))));
    }
    of_exchangers(cfg, resolver, domain, port, records, warnings).await
}

/// A domain without MX records is its own mail exchanger.
async fn by_address(
    cfg: &ClientConfig,
    resolver: &impl Names,
    domain: &str,
    port: u16,
) -> Result<Vec<Candidate>, NoHosts> {
    let found = single(cfg, resolver, domain, port).await?;
    if found.iter().any(|c| is_own(cfg, c)) { Err(NoHosts::Loop) } else { Ok(found) }
}

fn is_own(cfg: &ClientConfig, candidate: &Candidate) -> bool {
    match candidate {
        Candidate::Inet { to, .. } => to.port() == cfg.default_port && cfg.own.contains(&to.ip()),
        Candidate::Unix(_) => false,
    }
}

async fn of_exchangers(
    cfg: &ClientConfig,
    resolver: &impl Names,
    domain: &str,
    port: u16,
    mut records: Vec<Mx>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Candidate>, NoHosts> {
    if cfg.randomize {
        records.shuffle(&mut rand::rng());
    }
    records.sort_by_key(|m| m.preference);
    let (mut list, mut last_error) = (Vec::new(), None);
    for mx in records.iter().filter(|m| !m.host.is_empty()) {
        if mx.host.parse::<IpAddr>().is_ok() {
            let text = "numeric domain name in resource data of MX record for";
            warnings.push(format!("{text} {domain}: {}", mx.host));
        }
        match addresses(cfg, resolver, &mx.host).await {
            Ok(found) => list.extend(
                candidates(&mx.host, ordered(cfg, found), port).into_iter().map(|c| (mx.preference, c)),
            ),
            Err(e) => last_error = Some((e, mx.host.as_str())),
        }
    }
    if list.is_empty() {
        warnings.push(format!("no MX host for {domain} has a valid address record"));
        return Err(no_address(cfg, domain, last_error));
    }
    without_ourselves(cfg, list)
}

fn no_address(cfg: &ClientConfig, domain: &str, last: Option<(DnsError, &str)>) -> NoHosts {
    let (error, name) = last.unwrap_or((DnsError::NoData, domain));
    match unresolved(cfg, &error, name) {
        NoHosts::Unresolved(d) if cfg.defer_if_no_mx_address => {
            NoHosts::Unresolved(Box::new(Diagnosis { status: d.status.with_class(4), ..*d }))
        }
        other => other,
    }
}

/// Hosts that are not better than ourselves are left out: mail must get nearer to its destination.
fn without_ourselves(cfg: &ClientConfig, list: Vec<(u16, Candidate)>) -> Result<Vec<Candidate>, NoHosts> {
    let ours = list.iter().filter(|(_, c)| is_own(cfg, c)).map(|(p, _)| *p).min();
    let better: Vec<Candidate> =
        list.into_iter().filter(|(p, _)| ours.is_none_or(|o| *p < o)).map(|(_, c)| c).collect();
    if better.is_empty() { Err(NoHosts::Loop) } else { Ok(better) }
}

#[cfg(test)]
#[path = "hosts_tests.rs"]
mod tests;
