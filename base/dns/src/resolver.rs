//! The handle everybody asks.

use crate::DnsError;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

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
}

impl Resolver {
    /// A resolver of its own; reads resolv.conf at the first question.
    pub fn new(options: Options) -> Resolver {
        Resolver { inner: Arc::new(Inner { options }) }
    }

    /// The mail exchangers of `name`, as received (not sorted).
    pub async fn mx(&self, name: &str) -> Result<Answer<Mx>, DnsError> {
        let _ = (name, &self.inner.options);
        todo!()
    }

    /// The addresses of a host from DNS: IPv4, IPv6 or both, in that order. An address literal is its own answer.
    /// With both asked, it fails only when neither gives an address; a temporary failure of one wins over the
    /// absence of the other.
    pub async fn addresses(&self, name: &str, v4: bool, v6: bool) -> Result<Answer<IpAddr>, DnsError> {
        let _ = (name, v4, v6);
        todo!()
    }

    /// Like [`Resolver::addresses`] with the sources as configured.
    pub async fn host(&self, name: &str, v4: bool, v6: bool, hosts: Hosts) -> Result<Answer<IpAddr>, DnsError> {
        let _ = (name, v4, v6, hosts);
        todo!()
    }

    /// The names of an address: /etc/hosts first when `native`, then DNS.
    pub async fn ptr(&self, address: IpAddr, native: bool) -> Result<Answer<String>, DnsError> {
        let _ = (address, native);
        todo!()
    }

    /// TXT records; the strings of each are joined.
    pub async fn txt(&self, name: &str) -> Result<Answer<Vec<u8>>, DnsError> {
        let _ = name;
        todo!()
    }

    /// Name servers.
    pub async fn ns(&self, name: &str) -> Result<Answer<String>, DnsError> {
        let _ = name;
        todo!()
    }
}
