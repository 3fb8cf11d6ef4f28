//! The handle everybody asks.

use crate::DnsError;
use crate::cache::{Cache, Outcome};
use crate::exchange::Ask;
use crate::hosts::{self, HostsFile};
use crate::records::{self, Mx, Srv, Tlsa};
use crate::reread::Reread;
use crate::resolv_conf::{self, ResolvConf};
use crate::wire::{self, Data, Found, Kind, Reply};
use base_metrics::Dns;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::Semaphore;

/// The records of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The records, at most 100, in the order received.
    pub records: Vec<T>,
    /// The name at the end of the chain of aliases (the name asked for when there are none).
    pub name: String,
    /// The name server vouches for the answer (AD bit); never set unless asked by [`Resolver::dnssec`].
    pub authentic: bool,
    /// Seconds for which the answer held when it came.
    pub ttl: u32,
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
    /// The most questions under way.
    pub parallel: usize,
    /// Counts what is asked.
    pub counts: Arc<Dns>,
}

/// How a handle asks. Handles of all manners share the cache.
#[derive(Clone, Default)]
pub struct Manner {
    /// Ask for DNSSEC (AD bit).
    pub dnssec: bool,
    /// RES_DEFNAMES: append the local domain to names without a dot (smtp_dns_resolver_options, host lookups only).
    pub defnames: bool,
    /// RES_DNSRCH: try the search list.
    pub dnsrch: bool,
    /// Looks at every record of an answer (smtp_dns_reply_filter, smtpd_dns_reply_filter).
    pub filter: Option<Arc<dyn ReplyFilter>>,
}

/// Drops records from answers.
pub trait ReplyFilter: Send + Sync {
    /// Whether a record stays; `record` is `name ttl class type preference value`, names with a final dot. An error is
    /// the answer to the whole question.
    fn keeps<'a>(
        &'a self,
        record: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<bool, DnsError>> + Send + 'a>>;
}

impl Default for Options {
    fn default() -> Options {
        Options {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts_file: "/etc/hosts".into(),
            cache_entries: 10_000,
            parallel: 500,
            counts: Arc::default(),
        }
    }
}

/// The most hops over aliases that lead out of their replies.
const MAX_HOPS: usize = 8;

/// The resolver. Cloning shares the cache.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
    manner: Manner,
}

struct Inner {
    conf: Reread<ResolvConf>,
    hosts: Reread<HostsFile>,
    cache: Cache,
    rotor: AtomicUsize,
    parallel: Semaphore,
    counts: Arc<Dns>,
}

impl Resolver {
    /// A resolver with a cache of its own.
    pub fn new(options: Options) -> Resolver {
        let inner = Inner {
            conf: Reread::new(&options.resolv_conf, resolv_conf::parse),
            hosts: Reread::new(&options.hosts_file, hosts::parse),
            cache: Cache::new(options.cache_entries),
            rotor: AtomicUsize::new(0),
            parallel: Semaphore::new(options.parallel.max(1)),
            counts: options.counts,
        };
        Resolver { inner: Arc::new(inner), manner: Manner::default() }
    }

    /// The same resolver, asking in another manner.
    pub fn with(&self, manner: Manner) -> Resolver {
        Resolver { inner: Arc::clone(&self.inner), manner }
    }

    /// The same resolver, asking for DNSSEC: only then [`Answer::authentic`] can be set.
    pub fn dnssec(&self) -> Resolver {
        self.with(Manner { dnssec: true, ..self.manner.clone() })
    }

    /// The mail exchangers of `name`, as received (not sorted).
    pub async fn mx(&self, name: &str) -> Result<Answer<Mx>, DnsError> {
        self.typed(name, Kind::Mx, |data| match data {
            Data::Mx(mx) => Some(mx.clone()),
            _ => None,
        })
        .await
    }

    /// The addresses of a host from DNS: IPv4, IPv6 or both, in that order. An address literal is its own answer.
    /// With both asked, it fails only when neither gives an address; a temporary failure of one wins over the
    /// absence of the other.
    pub async fn addresses(&self, name: &str, v4: bool, v6: bool) -> Result<Answer<IpAddr>, DnsError> {
        self.searched(name, v4, v6, self.manner.defnames, self.manner.dnsrch).await
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
                Ok(answer) => Ok(answer),
                Err(first) => better(first, self.native(name, v4, v6).await),
            },
            Hosts::NativeThenDns => match self.native(name, v4, v6).await {
                Ok(answer) => Ok(answer),
                Err(first) => better(first, self.addresses(name, v4, v6).await),
            },
        }
    }

    /// The names of an address: the hosts file first when `native`, then DNS.
    pub async fn ptr(&self, address: IpAddr, native: bool) -> Result<Answer<String>, DnsError> {
        if native && let Some(name) = self.inner.hosts.get().name(address) {
            return Ok(local(vec![name.to_owned()], name));
        }
        self.names(&wire::reverse_name(address), Kind::Ptr).await
    }

    /// TXT records; the strings of each are joined.
    pub async fn txt(&self, name: &str) -> Result<Answer<Vec<u8>>, DnsError> {
        self.typed(name, Kind::Txt, |data| match data {
            Data::Text(text) => Some(text.clone()),
            _ => None,
        })
        .await
    }

    /// The hosts of a service, `_smtp._tcp.example.com` (RFC 2782), as received (not sorted).
    pub async fn srv(&self, name: &str) -> Result<Answer<Srv>, DnsError> {
        self.typed(name, Kind::Srv, |data| match data {
            Data::Srv(srv) => Some(srv.clone()),
            _ => None,
        })
        .await
    }

    /// The TLSA records of a service, `_25._tcp.mx.example.com` (RFC 6698 3). Of use only when the answer is authentic:
    /// ask [`Resolver::dnssec`]. An alias is followed; [`Answer::name`] is where the records are.
    pub async fn tlsa(&self, name: &str) -> Result<Answer<Tlsa>, DnsError> {
        self.typed(name, Kind::Tlsa, |data| match data {
            Data::Tlsa(tlsa) => Some(tlsa.clone()),
            _ => None,
        })
        .await
    }

    /// Name servers.
    pub async fn ns(&self, name: &str) -> Result<Answer<String>, DnsError> {
        self.names(name, Kind::Ns).await
    }

    async fn names(&self, name: &str, kind: Kind) -> Result<Answer<String>, DnsError> {
        self.typed(name, kind, |data| match data {
            Data::Name(name) => Some(name.clone()),
            _ => None,
        })
        .await
    }

    async fn native(&self, name: &str, v4: bool, v6: bool) -> Result<Answer<IpAddr>, DnsError> {
        let hosts = self.inner.hosts.get();
        let found = hosts.addresses(name, v4, v6);
        if !found.is_empty() {
            return Ok(local(found, name));
        }
        self.searched(name, v4, v6, true, true).await
    }

    async fn searched(
        &self,
        name: &str,
        v4: bool,
        v6: bool,
        defnames: bool,
        dnsrch: bool,
    ) -> Result<Answer<IpAddr>, DnsError> {
        if let Some(address) = literal(name) {
            let wanted = if address.is_ipv4() { v4 } else { v6 };
            return if wanted { Ok(local(vec![address], name)) } else { Err(DnsError::NoData) };
        }
        let mut worst = None;
        for candidate in self.inner.conf.get().candidates(name, defnames, dnsrch) {
            match self.both(&candidate, v4, v6).await {
                Ok(answer) => return Ok(answer),
                Err(error) => worst = Some(worse(worst, error)),
            }
        }
        Err(worst.unwrap_or(DnsError::NotFound))
    }

    async fn both(&self, name: &str, v4: bool, v6: bool) -> Result<Answer<IpAddr>, DnsError> {
        let address = |data: &Data| match data {
            Data::Address(address) => Some(*address),
            _ => None,
        };
        match (v4, v6) {
            (true, false) => self.typed(name, Kind::A, address).await,
            (false, true) => self.typed(name, Kind::Aaaa, address).await,
            (false, false) => Err(DnsError::NoData),
            (true, true) => {
                let (four, six) =
                    tokio::join!(self.typed(name, Kind::A, address), self.typed(name, Kind::Aaaa, address));
                merge(four, six)
            }
        }
    }

    async fn typed<T>(
        &self,
        name: &str,
        kind: Kind,
        pick: impl Fn(&Data) -> Option<T>,
    ) -> Result<Answer<T>, DnsError> {
        let found = self.inner.lookup(name, kind, self.manner.dnssec).await?;
        let mut records: Vec<T> = Vec::with_capacity(found.data.len());
        for data in &found.data {
            if self.keeps(&found, data).await? {
                records.extend(pick(data));
            }
        }
        if records.is_empty() {
            let filtered = self.manner.filter.is_some() && !found.data.is_empty();
            return Err(if filtered { DnsError::Filtered } else { DnsError::NoData });
        }
        Ok(Answer { records, name: found.name.clone(), authentic: found.authentic, ttl: found.ttl })
    }
}

impl Resolver {
    async fn keeps(&self, found: &Found, data: &Data) -> Result<bool, DnsError> {
        match &self.manner.filter {
            Some(filter) => filter.keeps(&records::text(&found.name, found.ttl, data)).await,
            None => Ok(true),
        }
    }
}

impl Inner {
    async fn lookup(&self, name: &str, kind: Kind, dnssec: bool) -> Outcome {
        let name = name.strip_suffix('.').unwrap_or(name).to_lowercase();
        wire::encode_name(&name)?;
        self.counts.questions.add_one();
        let ask = || self.follow(name.clone(), kind, dnssec);
        self.cache.get((name.clone(), kind, dnssec), ask).await
    }

    /// Asks, and asks for the target of an alias that leads out of the reply.
    async fn follow(&self, mut name: String, kind: Kind, dnssec: bool) -> (Outcome, u32) {
        let (mut life, mut vouched) = (u32::MAX, true);
        for _ in 0..MAX_HOPS {
            match self.ask(&name, kind, dnssec).await {
                Err(error) => return (Err(error), 0),
                Ok(Reply::Absent(error, ttl)) => return (Err(error), ttl.min(life)),
                Ok(Reply::Alias(target, ttl, authentic)) => {
                    (name, life) = (target, life.min(ttl));
                    vouched &= authentic;
                }
                Ok(Reply::Found(found)) => {
                    let ttl = found.ttl.min(life);
                    let authentic = found.authentic && vouched && dnssec;
                    return (Ok(Arc::new(Found { ttl, authentic, ..found })), ttl);
                }
                Ok(other) => return (Err(DnsError::TempFail(format!("unexpected reply {other:?}"))), 0),
            }
        }
        (Err(DnsError::Invalid("too many aliases".to_owned())), 0)
    }

    async fn ask(&self, name: &str, kind: Kind, dnssec: bool) -> Result<Reply, DnsError> {
        let wire_name = wire::encode_name(name)?;
        let conf = self.conf.get();
        let first = if conf.rotate { self.rotor.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let ask = Ask { conf: &conf, first, dnssec };
        let _turn = self.parallel.acquire().await.map_err(|e| DnsError::TempFail(e.to_string()))?;
        let began = Instant::now();
        let reply = ask.ask(&wire_name, kind).await;
        self.counts.queries.observe(began.elapsed());
        match &reply {
            Ok(Reply::Found(_) | Reply::Alias(..)) => &self.counts.found,
            Ok(Reply::Absent(..)) => &self.counts.absent,
            _ => &self.counts.failed,
        }
        .add_one();
        reply
    }
}

/// `192.0.2.1`, `2001:db8::1`, `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
fn literal(name: &str) -> Option<IpAddr> {
    let inner = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    let plain = match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => inner.get(5..)?,
        _ => inner,
    };
    plain.parse().ok()
}

fn local<T>(records: Vec<T>, name: &str) -> Answer<T> {
    Answer { records, name: name.to_owned(), authentic: false, ttl: 0 }
}

fn merge(
    four: Result<Answer<IpAddr>, DnsError>,
    six: Result<Answer<IpAddr>, DnsError>,
) -> Result<Answer<IpAddr>, DnsError> {
    match (four, six) {
        (Ok(mut four), Ok(six)) => {
            four.records.extend(six.records);
            four.authentic &= six.authentic;
            four.ttl = four.ttl.min(six.ttl);
            Ok(four)
        }
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(four), Err(six)) => Err(worse(Some(four), six)),
    }
}

/// A temporary failure may hide an answer, and a name that exists says more than one that does not.
fn worse(so_far: Option<DnsError>, new: DnsError) -> DnsError {
    let rank = |error: &DnsError| match error {
        DnsError::Filtered | DnsError::FilterFailed => 5,
        DnsError::TempFail(_) => 4,
        DnsError::Refused(_) => 3,
        DnsError::Invalid(_) => 2,
        DnsError::NoData => 1,
        DnsError::NotFound => 0,
    };
    match so_far {
        Some(old) if rank(&old) >= rank(&new) => old,
        _ => new,
    }
}

/// The second source's answer, or the graver of the two errors.
fn better<T>(first: DnsError, second: Result<T, DnsError>) -> Result<T, DnsError> {
    second.map_err(|second| worse(Some(first), second))
}

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;
