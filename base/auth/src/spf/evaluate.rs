//! The evaluation of SPF records (RFC 7208 4): check_host().

use super::{
    Client, Identity, Spf, SpfResult,
    expand::{self, Values},
    record::{self, Mechanism, Prefixes, Record},
};
use crate::lookup::Dns;
use base_calls::{Fut, Timestamp};
use base_dns::DnsError;
use std::net::IpAddr;

/// The most terms that ask DNS (4.6.4).
const MAX_TERMS: u32 = 10;
/// The most answers without records.
const MAX_VOIDS: u32 = 2;
/// The most names of an MX or PTR answer that are looked at.
const MAX_NAMES: usize = 10;

/// The evaluation ends here.
enum Stop {
    Temporary,
    Permanent(&'static str),
}

struct Evaluation<'a> {
    dns: &'a dyn Dns,
    client: &'a Client<'a>,
    local: &'a str,
    domain: &'a str,
    terms: u32,
    voids: u32,
    explanation: Option<String>,
}

pub(super) async fn check(dns: &dyn Dns, client: &Client<'_>, identity: Identity) -> Spf {
    // An IPv4 client of an IPv6 socket is an IPv4 client (5).
    let client = &Client { ip: client.ip.to_canonical(), ..*client };
    let (local, domain) = client.subject(identity);
    let mut e =
        Evaluation { dns, client, local: &local, domain: &domain, terms: 0, voids: 0, explanation: None };
    let judged = if is_name(&domain) { e.host(domain.clone(), true).await } else { Ok(SpfResult::None) };
    let explanation = e.explanation.take();
    let (result, problem) = match judged {
        Ok(result) => (result, None),
        Err(Stop::Temporary) => (SpfResult::TempError, None),
        Err(Stop::Permanent(problem)) => (SpfResult::PermError, Some(problem)),
    };
    let explanation = explanation.filter(|_| result == SpfResult::Fail);
    Spf { result, domain, explanation, problem }
}

/// A domain that can have records: labels of a fit length, at least two (4.3).
fn is_name(domain: &str) -> bool {
    let labels = || domain.split('.');
    domain.len() <= 253 && labels().count() > 1 && labels().all(|l| (1..=63).contains(&l.len()))
}

impl Evaluation<'_> {
    /// check_host(); `own`: of the domain that is judged, so that its explanation counts.
    fn host(&mut self, domain: String, own: bool) -> Fut<'_, Result<SpfResult, Stop>> {
        Box::pin(async move {
            let Some(record) = self.record(&domain).await? else { return Ok(SpfResult::None) };
            for (result, mechanism) in &record.directives {
                if self.matches(mechanism, &domain).await? {
                    if *result == SpfResult::Fail && own {
                        self.explain(&record, &domain).await;
                    }
                    return Ok(*result);
                }
            }
            let Some(redirect) = &record.redirect else { return Ok(SpfResult::Neutral) };
            self.count_term()?;
            let target = self.expand(redirect, &domain).await;
            match is_name(&target) {
                true => match self.host(target, own).await? {
                    SpfResult::None => Err(Stop::Permanent("redirect to a domain without SPF record")),
                    result => Ok(result),
                },
                false => Err(Stop::Permanent("redirect to no domain")),
            }
        })
    }

    async fn record(&self, domain: &str) -> Result<Option<Record>, Stop> {
        let texts = match self.dns.txt(domain).await {
            Ok(texts) => texts,
            Err(e) if is_absent(&e) => return Ok(None),
            Err(_) => return Err(Stop::Temporary),
        };
        let mut records = texts.iter().filter(|t| record::is_spf(t));
        match (records.next(), records.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(Stop::Permanent("more than one SPF record")),
            (Some(text), None) => match record::parse(text) {
                Some(record) => Ok(Some(record)),
                None => Err(Stop::Permanent("SPF record with a syntax error")),
            },
        }
    }

    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Result<bool, Stop> {
        if !matches!(mechanism, Mechanism::All | Mechanism::Network(..)) {
            self.count_term()?;
        }
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Network(network, bits) => Ok(is_inside(self.client.ip, *network, *bits)),
            Mechanism::Include(target) => self.include(target, domain).await,
            Mechanism::A(target, prefixes) => {
                let name = self.target(target.as_deref(), domain).await;
                self.has_address(&name, *prefixes).await
            }
            Mechanism::Mx(target, prefixes) => {
                let name = self.target(target.as_deref(), domain).await;
                self.mx(&name, *prefixes).await
            }
            Mechanism::Ptr(target) => {
                let name = self.target(target.as_deref(), domain).await;
                Ok(self.validated(&name, false).await.is_some())
            }
            Mechanism::Exists(target) => {
                let name = self.expand(target, domain).await;
                Ok(!self.addresses(&name, false).await?.is_empty())
            }
        }
    }

    async fn include(&mut self, target: &str, domain: &str) -> Result<bool, Stop> {
        let target = self.expand(target, domain).await;
        if !is_name(&target) {
            return Err(Stop::Permanent("include of no domain"));
        }
        match self.host(target, false).await? {
            SpfResult::Pass => Ok(true),
            SpfResult::None => Err(Stop::Permanent("include of a domain without SPF record")),
            _ => Ok(false),
        }
    }

    async fn mx(&mut self, name: &str, prefixes: Prefixes) -> Result<bool, Stop> {
        let answer = self.dns.mx(name).await;
        let hosts = self.counted(answer)?;
        if hosts.len() > MAX_NAMES {
            return Err(Stop::Permanent("more than ten mail exchangers"));
        }
        for host in hosts.iter().filter(|h| !h.is_empty()) {
            match self.dns.addresses(host, self.client.ip.is_ipv6()).await {
                Ok(found) if found.iter().any(|a| self.is_client(*a, prefixes)) => return Ok(true),
                Ok(_) => {}
                Err(e) if is_absent(&e) => {}
                Err(_) => return Err(Stop::Temporary),
            }
        }
        Ok(false)
    }

    async fn has_address(&mut self, name: &str, prefixes: Prefixes) -> Result<bool, Stop> {
        let found = self.addresses(name, self.client.ip.is_ipv6()).await?;
        Ok(found.iter().any(|a| self.is_client(*a, prefixes)))
    }

    fn is_client(&self, address: IpAddr, Prefixes(four, six): Prefixes) -> bool {
        is_inside(self.client.ip, address, if address.is_ipv4() { four } else { six })
    }

    async fn addresses(&mut self, name: &str, v6: bool) -> Result<Vec<IpAddr>, Stop> {
        if !is_name(name) {
            return Ok(Vec::new());
        }
        let answer = self.dns.addresses(name, v6).await;
        self.counted(answer)
    }

    /// A name of the client that leads back to it and is `target` or below; with `any`, another will do when there is none.
    /// Errors count as no name (5.5).
    async fn validated(&self, target: &str, any: bool) -> Option<String> {
        let names = self.dns.ptr(self.client.ip).await.ok()?;
        let mut other = None;
        for name in names.into_iter().take(MAX_NAMES) {
            let fits = is_below(&name, target);
            if !fits && (!any || other.is_some()) {
                continue;
            }
            let found = self.dns.addresses(&name, self.client.ip.is_ipv6()).await.unwrap_or_default();
            match found.contains(&self.client.ip) {
                true if fits => return Some(name),
                true => other = Some(name),
                false => {}
            }
        }
        other
    }

    async fn target(&mut self, template: Option<&str>, domain: &str) -> String {
        match template {
            Some(template) => self.expand(template, domain).await,
            None => domain.to_owned(),
        }
    }

    async fn expand(&self, template: &str, domain: &str) -> String {
        let validated = self.name_for(template, domain).await;
        expand::domain(template, &self.values(domain, validated.as_deref()))
    }

    async fn name_for(&self, template: &str, domain: &str) -> Option<String> {
        match expand::wants_name(template) {
            true => self.validated(domain, true).await,
            false => None,
        }
    }

    fn values<'v>(&'v self, domain: &'v str, validated: Option<&'v str>) -> Values<'v> {
        let now = Timestamp::now().secs();
        Values { client: self.client, sender: (self.local, self.domain), domain, validated, now }
    }

    /// What the domain says to whom it does not permit; mistakes in it count as silence (6.2).
    async fn explain(&mut self, record: &Record, domain: &str) {
        let Some(template) = &record.explanation else { return };
        let target = self.expand(template, domain).await;
        let Ok(texts) = self.dns.txt(&target).await else { return };
        let [text] = texts.as_slice() else { return };
        let Ok(text) = std::str::from_utf8(text) else { return };
        if text.len() > 500
            || !text.bytes().all(|b| matches!(b, b' '..=b'~'))
            || !expand::is_valid(text, true)
        {
            return;
        }
        let validated = self.name_for(text, domain).await;
        let said = expand::text(text, &self.values(domain, validated.as_deref()));
        self.explanation = Some(said.chars().filter(|c| matches!(c, ' '..='~')).take(500).collect());
    }

    fn count_term(&mut self) -> Result<(), Stop> {
        self.terms += 1;
        match self.terms > MAX_TERMS {
            true => Err(Stop::Permanent("too many terms that ask DNS")),
            false => Ok(()),
        }
    }

    /// An answer; without records it counts.
    fn counted<T>(&mut self, answer: Result<Vec<T>, DnsError>) -> Result<Vec<T>, Stop> {
        match answer {
            Ok(records) => Ok(records),
            Err(e) if is_absent(&e) => {
                self.voids += 1;
                match self.voids > MAX_VOIDS {
                    true => Err(Stop::Permanent("too many answers without records")),
                    false => Ok(Vec::new()),
                }
            }
            Err(_) => Err(Stop::Temporary),
        }
    }
}

/// A name that cannot be asked for has no records either.
fn is_absent(error: &DnsError) -> bool {
    error.is_absent() || matches!(error, DnsError::Invalid(_))
}

fn is_below(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
    name.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_inside(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        let shift = width.saturating_sub(bits.into());
        a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
    };
    match (ip, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128),
        _ => false,
    }
}
