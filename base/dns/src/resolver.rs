//! The handle everybody asks.

use crate::{
    DnsError,
    cache::Cache,
    conf::{HostsFile, ResolvConf, Watched},
    exchange,
    wire::{Found, Outcome, Question, from_name, reverse},
};
use hickory_proto::rr::{RData, RecordType};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, atomic::AtomicUsize};

/// The records of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The records, at most 100, in the order received.
    pub records: Vec<T>,
    /// The name at the end of the chain of aliases (the name asked for when there are none).
    pub name: String,
    /// The resolver vouches for the answer (AD bit; needs `Options::dnssec`).
    pub authentic: bool,
    /// Seconds for which the answer holds.
    pub ttl: u32,
}

/// A mail exchanger. The null MX of RFC 7505 has an empty `host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mx {
    /// Lower is tried first.
    pub preference: u16,
    /// The name, without the final dot.
    pub host: String,
}

/// Where host addresses come from (smtp_host_lookup).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// DNS only.
    Dns,
    /// /etc/hosts, then DNS with the search list.
    Native,
    /// DNS, then native.
    DnsThenNative,
    /// Native, then DNS.
    NativeThenDns,
}

/// What a resolver needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// resolv.conf; read again when it changes.
    pub resolv_conf: PathBuf,
    /// The hosts file; read again when it changes.
    pub hosts_file: PathBuf,
    /// The most answers kept.
    pub cache_entries: usize,
    /// Ask for DNSSEC (AD bit) in every query.
    pub dnssec: bool,
    /// RES_DEFNAMES: append the local domain to names without a dot (smtp_dns_resolver_options, host lookups only).
    pub defnames: bool,
    /// RES_DNSRCH: try the search list.
    pub dnsrch: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts_file: "/etc/hosts".into(),
            cache_entries: 10_000,
            dnssec: false,
            defnames: false,
            dnsrch: false,
        }
    }
}

/// The resolver. Cloning shares the cache.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    conf: Watched<ResolvConf>,
    hosts: Watched<HostsFile>,
    cache: Cache,
    turn: AtomicUsize,
}

impl Resolver {
    /// A resolver of its own; reads resolv.conf at the first question.
    pub fn new(options: Options) -> Resolver {
        let inner = Inner {
            conf: Watched::new(options.resolv_conf.clone(), ResolvConf::parse),
            hosts: Watched::new(options.hosts_file.clone(), HostsFile::parse),
            cache: Cache::new(options.cache_entries),
            turn: AtomicUsize::new(0),
            options,
        };
        Resolver { inner: Arc::new(inner) }
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Outcome {
        let question = Question::new(name, kind)?;
        let inner = &self.inner;
        let conf = inner.conf.get();
        inner
            .cache
            .get(&question, || exchange::ask(&conf, &question, inner.options.dnssec, &inner.turn))
            .await
    }

    /// The mail exchangers of `name`, as received (not sorted).
    pub async fn mx(&self, name: &str) -> Result<Answer<Mx>, DnsError> {
        let mx = |r: RData| match r {
            RData::MX(mx) => Some(Mx { preference: mx.preference, host: from_name(&mx.exchange) }),
            _ => None,
        };
        Ok(answer(self.ask(name, RecordType::MX).await?, mx))
    }

    /// The addresses of a host from DNS: IPv4, IPv6 or both, in that order. An address literal is its own answer.
    /// With both asked, it fails only when neither gives an address; a temporary failure of one wins over the
    /// absence of the other.
    pub async fn addresses(&self, name: &str, v4: bool, v6: bool) -> Result<Answer<IpAddr>, DnsError> {
        if let Ok(literal) = name.parse::<IpAddr>() {
            return Ok(Answer { records: vec![literal], name: name.into(), authentic: false, ttl: 0 });
        }
        match (v4, v6) {
            (true, true) => {
                let (a, aaaa) = tokio::join!(self.family(name, true), self.family(name, false));
                join(a, aaaa)
            }
            (true, false) => self.family(name, true).await,
            (false, true) => self.family(name, false).await,
            (false, false) => Err(DnsError::NoData),
        }
    }

    async fn family(&self, name: &str, v4: bool) -> Result<Answer<IpAddr>, DnsError> {
        let kind = if v4 { RecordType::A } else { RecordType::AAAA };
        let address = |r: RData| match r {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(a) => Some(IpAddr::V6(a.0)),
            _ => None,
        };
        Ok(answer(self.ask(name, kind).await?, address))
    }

    /// Like [`Resolver::addresses`] with the sources as configured.
    pub async fn host(
        &self,
        name: &str,
        v4: bool,
        v6: bool,
        hosts: Hosts,
    ) -> Result<Answer<IpAddr>, DnsError> {
        match hosts {
            Hosts::Dns => self.addresses(name, v4, v6).await,
            Hosts::Native => self.native(name, v4, v6).await,
            Hosts::DnsThenNative => match self.addresses(name, v4, v6).await {
                Err(e) => self.native(name, v4, v6).await.map_err(|_| e),
                found => found,
            },
            Hosts::NativeThenDns => match self.native(name, v4, v6).await {
                Err(_) => self.addresses(name, v4, v6).await,
                found => found,
            },
        }
    }

    /// As getaddrinfo(3) with `hosts: files dns`: the hosts file, then DNS with the search list.
    async fn native(&self, name: &str, v4: bool, v6: bool) -> Result<Answer<IpAddr>, DnsError> {
        let wanted = |a: &&IpAddr| if a.is_ipv4() { v4 } else { v6 };
        let hosts = self.inner.hosts.get();
        let records: Vec<IpAddr> = hosts.addresses(name).iter().filter(wanted).copied().collect();
        if !records.is_empty() {
            return Ok(Answer { records, name: name.into(), authentic: false, ttl: 0 });
        }
        let conf = self.inner.conf.get();
        let mut result = Err(DnsError::NotFound);
        for candidate in candidates(name, &conf) {
            result = self.addresses(&candidate, v4, v6).await;
            match &result {
                Err(e) if e.is_absent() => {}
                _ => break,
            }
        }
        result
    }

    /// The names of an address: /etc/hosts first when `native`, then DNS.
    pub async fn ptr(&self, address: IpAddr, native: bool) -> Result<Answer<String>, DnsError> {
        if native && let Some(name) = self.inner.hosts.get().name(address) {
            return Ok(Answer { records: vec![name.into()], name: name.into(), authentic: false, ttl: 0 });
        }
        let name = |r: RData| match r {
            RData::PTR(p) => Some(from_name(&p.0)),
            _ => None,
        };
        Ok(answer(self.ask(&reverse(address), RecordType::PTR).await?, name))
    }

    /// TXT records; the strings of each are joined.
    pub async fn txt(&self, name: &str) -> Result<Answer<Vec<u8>>, DnsError> {
        let text = |r: RData| match r {
            RData::TXT(t) => Some(t.txt_data.concat()),
            _ => None,
        };
        Ok(answer(self.ask(name, RecordType::TXT).await?, text))
    }

    /// Name servers.
    pub async fn ns(&self, name: &str) -> Result<Answer<String>, DnsError> {
        let host = |r: RData| match r {
            RData::NS(n) => Some(from_name(&n.0)),
            _ => None,
        };
        Ok(answer(self.ask(name, RecordType::NS).await?, host))
    }
}

fn answer<T>(found: Found, pick: impl Fn(RData) -> Option<T>) -> Answer<T> {
    let records = found.records.into_iter().filter_map(pick).collect();
    Answer { records, name: found.name, authentic: found.authentic, ttl: found.ttl }
}

/// Both families as one answer.
fn join(
    v4: Result<Answer<IpAddr>, DnsError>,
    v6: Result<Answer<IpAddr>, DnsError>,
) -> Result<Answer<IpAddr>, DnsError> {
    match (v4, v6) {
        (Ok(mut a), Ok(b)) => {
            a.records.extend(b.records);
            a.authentic &= b.authentic;
            a.ttl = a.ttl.min(b.ttl);
            Ok(a)
        }
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(a), Err(b)) => Err(if b.is_temporary() { b } else { a }),
    }
}

/// The names to try for a host, by `ndots` and the search list.
fn candidates(name: &str, conf: &ResolvConf) -> Vec<String> {
    if name.ends_with('.') {
        return vec![name.to_owned()];
    }
    let searched = conf.search.iter().map(|d| format!("{name}.{d}"));
    let as_is = std::iter::once(name.to_owned());
    if name.matches('.').count() >= conf.ndots {
        as_is.chain(searched).collect()
    } else {
        searched.chain(as_is).collect()
    }
}
