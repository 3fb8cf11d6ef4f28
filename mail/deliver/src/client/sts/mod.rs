//! MTA-STS (RFC 8461): what a domain's policy demands of its mail exchangers. An extension, `smtp_mta_sts = yes`.
//!
//! [`Sts::policy`] asks for the TXT record at each delivery (DNS answers are cached), and fetches the policy when its id is new, over
//! HTTPS with a proved certificate. Policies outlive a restart (`smtp_mta_sts_cache_map`), hold as long as they say, whatever
//! happens to record and server meanwhile, and are bounded by the cache. One that is a day old is fetched anew (RFC 8461 3.3). A fetch that
//! failed is not tried again for five minutes.

mod policy;

pub(crate) use policy::{Mode, Policy};

use super::tls_reports::Trouble;
use crate::{Deps, tls_report::Fault};
use base_cache::Cache;
use base_calls::Timestamp;
use base_conf::{Config, Error};
use base_dns::{DnsError, Resolver};
use base_https::{Https, HttpsError, Request};
use base_tls::{Authorities, Files};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

const PORT: u16 = 443;
/// A fetch that failed is not tried again before this (RFC 8461 5.1).
const AGAIN: u64 = 300;
/// A policy is fetched anew after this, as long as it may hold, by one delivery; the others go by what is there.
const REFRESH: u64 = 86_400;
/// The longest answer, with its head (RFC 8461 3.3 suggests 64 kB for the policy).
const MAX_ANSWER: usize = 80 * 1024;

/// The policies of others.
pub(crate) struct Sts {
    cache: Arc<Cache>,
    /// Who may sign the certificates of policy servers.
    pub authorities: Authorities,
    files: Files,
    time_limit: Duration,
    /// One fetch per domain at a time.
    fetching: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// A policy as the cache has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    /// Of the TXT record; empty: the fetch failed.
    id: String,
    /// Seconds since 1970.
    until: u64,
    policy: Policy,
}

impl Kept {
    /// `id until max_age mode host …`
    fn text(&self) -> String {
        let p = &self.policy;
        let age = p.max_age.as_secs();
        format!("{} {} {age} {} {}", self.id, self.until, p.mode.word(), p.hosts.join(" "))
    }

    /// Fetched not long before `now`, in seconds since 1970.
    fn is_fresh(&self, now: u64) -> bool {
        now < self.until.saturating_sub(self.policy.max_age.as_secs()).saturating_add(REFRESH)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (id, until, age) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let mode = Mode::named(words.next()?)?;
        let hosts = words.filter(|w| !w.is_empty()).map(str::to_owned).collect();
        Some(Self {
            id: id.to_owned(),
            until,
            policy: Policy { mode, hosts, max_age: Duration::from_secs(age) },
        })
    }
}

impl Sts {
    /// `None` unless `smtp_mta_sts = yes`. Must run within a tokio runtime.
    pub fn open(cfg: &Config, deps: &Deps) -> Result<Option<Self>, Error> {
        if !cfg.bool("smtp_mta_sts")? {
            return Ok(None);
        }
        Ok(Some(Self {
            cache: deps.caches.open(&cfg.str("smtp_mta_sts_cache_map")?),
            authorities: Authorities::file_or_system(&cfg.str("smtp_mta_sts_CAfile")?),
            files: Arc::clone(&deps.opener),
            time_limit: cfg.time("smtp_mta_sts_timeout")?.max(Duration::from_secs(1)),
            fetching: Mutex::default(),
        }))
    }

    /// The policy of a domain. The trouble is for the log: a new policy cannot be had.
    pub async fn policy(&self, resolver: &Resolver, domain: &str) -> (Option<Policy>, Option<Trouble>) {
        let Some(domain) = proto_address::to_ascii(domain) else { return (None, None) };
        let kept = self.kept(&domain);
        let id = match resolver.txt(&format!("_mta-sts.{domain}")).await {
            Ok(found) => policy::record_id(&found.records),
            Err(DnsError::NotFound | DnsError::NoData) => None,
            Err(e) => return (kept, Some(no_fetch(format!("MTA-STS record of {domain}: {e}")))),
        };
        let Some(id) = id else { return (kept, None) };
        if self.is_known(&domain, &id) || self.failed_lately(&domain) {
            return (self.kept(&domain), None);
        }
        let turn = self.turn(&domain);
        let held = match self.entry(&domain).filter(|k| k.id == id) {
            // Old, but it holds.
            Some(_) => match turn.try_lock() {
                Ok(held) => held,
                Err(_) => return (kept, None),
            },
            None => turn.lock().await,
        };
        // Somebody else may have been first.
        let error = match self.is_known(&domain, &id) || self.failed_lately(&domain) {
            true => None,
            false => self.renew(resolver, &domain, id).await.err(),
        };
        drop(held);
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner).remove(&domain);
        (self.kept(&domain), error.map(|(fault, e)| (fault, format!("MTA-STS policy of {domain}: {e}"))))
    }

    fn entry(&self, domain: &str) -> Option<Kept> {
        let kept = Kept::parse(&self.cache.get(domain)?)?;
        (kept.until > Timestamp::now().secs()).then_some(kept)
    }

    /// The policy that still holds.
    fn kept(&self, domain: &str) -> Option<Policy> {
        self.entry(domain).map(|k| k.policy).filter(|p| p.mode != Mode::None)
    }

    fn is_known(&self, domain: &str, id: &str) -> bool {
        self.entry(domain).is_some_and(|k| k.id == id && k.is_fresh(Timestamp::now().secs()))
    }

    fn failed_lately(&self, domain: &str) -> bool {
        let until = self.cache.get(&format!("!{domain}")).and_then(|t| t.parse::<u64>().ok());
        until.is_some_and(|t| t > Timestamp::now().secs())
    }

    fn turn(&self, domain: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(domain.to_owned()).or_default())
    }

    async fn renew(&self, resolver: &Resolver, domain: &str, id: String) -> Result<(), Trouble> {
        let now = Timestamp::now().secs();
        let fetched = tokio::time::timeout(self.time_limit, self.fetch(resolver, domain)).await;
        match fetched.unwrap_or_else(|_| Err(no_fetch("timed out".to_owned()))) {
            Ok(policy) => {
                let until = now.saturating_add(policy.max_age.as_secs());
                self.cache.put(domain, &Kept { id, until, policy }.text());
                self.cache.remove(&format!("!{domain}"));
                Ok(())
            }
            Err(e) => {
                self.cache.put(&format!("!{domain}"), &now.saturating_add(AGAIN).to_string());
                Err(e)
            }
        }
    }

    async fn fetch(&self, resolver: &Resolver, domain: &str) -> Result<Policy, Trouble> {
        let host = format!("mta-sts.{domain}");
        let found = resolver.addresses(&host, true, true).await;
        let found = found.map_err(|e| no_fetch(e.text(&host, "A")))?;
        let addresses: Vec<_> = found.records.into_iter().map(|ip| SocketAddr::new(ip, PORT)).collect();
        let url = format!("https://{host}/.well-known/mta-sts.txt");
        let files = Arc::clone(&self.files);
        // Made anew for each fetch, which is rare: authorities that have changed count.
        let https = Https::new(&self.authorities, &files, self.time_limit, MAX_ANSWER).map_err(no_fetch)?;
        let request = Request { method: "GET", fields: &[], body: &[] };
        let answer = https.send_to(&url, &addresses, request).await.map_err(|e| match e {
            HttpsError::Untrusted { .. } => (Fault::StsWebpkiInvalid, e.to_string()),
            e => no_fetch(e.to_string()),
        })?;
        if answer.status != 200 {
            return Err(no_fetch(format!("HTTP status {}", answer.status)));
        }
        let odd = |text: &str| (Fault::StsPolicyInvalid, text.to_owned());
        if answer.media_type() != "text/plain" {
            return Err(odd(&format!("content of type \"{}\"", answer.media_type())));
        }
        let text = String::from_utf8(answer.body).map_err(|_| odd("not UTF-8"))?;
        policy::parse(&text).map_err(odd)
    }
}

/// The policy cannot be had.
fn no_fetch(text: String) -> Trouble {
    (Fault::StsPolicyFetchError, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_policies_are_fetched_anew() {
        let max_age = Duration::from_secs(604_800);
        let kept = |fetched: u64, max_age: Duration| Kept {
            id: "1".into(),
            until: fetched + max_age.as_secs(),
            policy: Policy { mode: Mode::Enforce, hosts: Vec::new(), max_age },
        };
        for (now, want) in [(1000, true), (1000 + REFRESH - 1, true), (1000 + REFRESH, false)] {
            assert_eq!(kept(1000, max_age).is_fresh(now), want, "{now}");
        }
        let bench = crate::testing::Bench::new("smtp_mta_sts = yes\nsmtp_mta_sts_cache_map =\n");
        let sts = Sts::open(&bench.config, &bench.deps).expect("parameters").expect("wanted");
        let now = Timestamp::now().secs();
        for (age, holds, known) in [(0, true, true), (2 * REFRESH, true, false), (8 * REFRESH, false, false)]
        {
            sts.cache.put("a.test", &kept(now - age, max_age).text());
            assert_eq!((sts.kept("a.test").is_some(), sts.is_known("a.test", "1")), (holds, known), "{age}");
        }
    }

    #[test]
    fn what_the_cache_holds() {
        let policy = Policy {
            mode: Mode::Testing,
            hosts: vec!["a.test".into(), "*.b.test".into()],
            max_age: Duration::from_secs(9),
        };
        let kept = Kept { id: "x1".into(), until: 77, policy };
        assert_eq!(kept.text(), "x1 77 9 testing a.test *.b.test");
        assert_eq!(Kept::parse(&kept.text()), Some(kept));
        for text in ["", "x", "x y 1 none", "x 1 1 sometimes"] {
            assert_eq!(Kept::parse(text), None, "{text}");
        }
    }
}
