//! Greylisting without another daemon: `check_greylist` (an extension; docs/extensions.md), with the meaning of Postgrey's
//! defaults.
//!
//! Who comes for the first time (network of the client, sender, recipient) hears "later" until `greylist_delay` has passed, and
//! must come back within `greylist_retry_window`. A network that has come back `greylist_auto_allow_clients` times, an hour
//! apart, is not asked any more. The memory is a bounded cache in `greylist_map` that outlives a restart; one that cannot be
//! read counts as empty. [`decide`] is pure.

use crate::{
    Facts, Refusal, Restrict, Verdict,
    verdict::{Found, Kind, Subject},
};
use base_cache::{Cache, Caches};
use base_calls::Timestamp;
use base_conf::{Config, Error};
use proto_dsn::Status;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// A network is counted at most this often, in seconds.
const COUNT_EVERY: u64 = 3600;
/// How often what has expired is removed.
const CLEAN_EVERY: u64 = 3600;

/// `greylist_*`; times in seconds.
#[derive(Debug, Clone)]
pub(crate) struct GreylistConfig {
    map: String,
    delay: u64,
    retry_window: u64,
    max_age: u64,
    auto_allow: u32,
    prefixes: (u8, u8),
    text: String,
    hostname: String,
    pub(crate) client_exceptions: String,
    pub(crate) recipient_exceptions: String,
}

impl GreylistConfig {
    pub(crate) fn from_config(cfg: &Config) -> Result<Self, Error> {
        let seconds = |name: &str| cfg.time(name).map(|t| t.as_secs());
        let prefix = |name: &str| cfg.int(name).map(|n| u8::try_from(n).unwrap_or(128));
        Ok(Self {
            map: cfg.str("greylist_map")?,
            delay: seconds("greylist_delay")?,
            retry_window: seconds("greylist_retry_window")?,
            max_age: seconds("greylist_max_age")?,
            auto_allow: u32::try_from(cfg.int("greylist_auto_allow_clients")?).unwrap_or(0),
            prefixes: (prefix("greylist_ipv4_prefix_length")?, prefix("greylist_ipv6_prefix_length")?),
            text: cfg.str("greylist_text")?,
            hostname: cfg.str("myhostname")?,
            client_exceptions: cfg.str("greylist_client_exceptions")?,
            recipient_exceptions: cfg.str("greylist_recipient_exceptions")?,
        })
    }
}

/// Where the records are.
#[derive(Default)]
pub(crate) struct Memory {
    caches: Option<Arc<Caches>>,
    cache: OnceLock<Arc<Cache>>,
    cleaned: AtomicU64,
}

impl Memory {
    pub(crate) fn behind(caches: Arc<Caches>) -> Self {
        Self { caches: Some(caches), ..Self::default() }
    }

    fn cache(&self, map: &str) -> &Cache {
        self.cache.get_or_init(|| match &self.caches {
            Some(caches) => caches.open(map),
            None => Caches::new(Arc::new(|_| ())).open(""),
        })
    }
}

/// When somebody came first and last: of a triplet; how often and when last: of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record(u64, u64);

impl Record {
    fn parse(text: &str) -> Option<Self> {
        let (a, b) = text.split_once(' ')?;
        Some(Self(a.parse().ok()?, b.parse().ok()?))
    }

    fn text(self) -> String {
        format!("{} {}", self.0, self.1)
    }
}

/// What becomes of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Not yet.
    Later,
    /// For the first time after so many seconds.
    Welcome(u64),
    /// It has been here before.
    Known,
}

/// The decision about a triplet, and its record from now on.
fn decide(record: Option<Record>, now: u64, c: &GreylistConfig) -> (Decision, Record) {
    let fresh = record.filter(|Record(first, last)| {
        let waits = first == last;
        let limit = if waits { c.retry_window } else { c.max_age };
        now.saturating_sub(*last) <= limit
    });
    let Some(Record(first, last)) = fresh else { return (Decision::Later, Record(now, now)) };
    let waited = now.saturating_sub(first);
    match first == last {
        _ if waited < c.delay => (Decision::Later, Record(first, last)),
        true => (Decision::Welcome(waited), Record(first, now.max(first + 1))),
        false => (Decision::Known, Record(first, now)),
    }
}

/// The network of a client.
fn network(ip: IpAddr, (v4, v6): (u8, u8)) -> String {
    match ip {
        IpAddr::V4(a) => {
            let shift = 32u32.saturating_sub(v4.into());
            Ipv4Addr::from(u32::from(a) & u32::MAX.checked_shl(shift).unwrap_or(0)).to_string()
        }
        IpAddr::V6(a) => {
            let shift = 128u32.saturating_sub(v6.into());
            Ipv6Addr::from(u128::from(a) & u128::MAX.checked_shl(shift).unwrap_or(0)).to_string()
        }
    }
}

/// The sender without what changes from message to message: an extension, numbers.
fn stable(sender: &str) -> String {
    let sender = sender.to_lowercase();
    let (local, domain) = sender.rsplit_once('@').unwrap_or((sender.as_str(), ""));
    let local = local.split_once('+').map_or(local, |(l, _)| l);
    let mut out = String::new();
    for c in local.chars() {
        match c {
            c if !c.is_ascii_digit() => out.push(c),
            _ if out.ends_with('#') => {}
            _ => out.push('#'),
        }
    }
    format!("{out}@{domain}")
}

impl Restrict {
    /// The verdict about this recipient of this client.
    pub(crate) async fn greylisted(&self, f: &Facts<'_>) -> Verdict {
        let (Some(ip), Some(sender), Some(recipient)) = (f.client.ip, f.sender, f.recipient) else {
            return Verdict::Dunno;
        };
        if f.login.is_some() || self.is_exempt(f, ip, recipient).await {
            return Verdict::Dunno;
        }
        let (config, now) = (&self.config.greylist, Timestamp::now().0 / 1_000_000);
        let cache = self.greylist.cache(&config.map);
        self.clean_greylist(cache, now);
        let network = network(ip, config.prefixes);
        let client_key = format!("c {network}");
        let seen = cache.get(&client_key).and_then(|t| Record::parse(&t));
        let seen = seen.filter(|Record(_, last)| now.saturating_sub(*last) <= config.max_age);
        if config.auto_allow > 0 && seen.is_some_and(|Record(count, _)| count >= config.auto_allow.into()) {
            return Verdict::Dunno;
        }
        let key = format!("t {network} {} {}", stable(sender), recipient.to_lowercase());
        let (decision, record) = decide(cache.get(&key).and_then(|t| Record::parse(&t)), now, config);
        cache.put(&key, &record.text());
        if decision != Decision::Later {
            let Record(count, last) = seen.unwrap_or(Record(0, 0));
            if now.saturating_sub(last) >= COUNT_EVERY {
                cache.put(&client_key, &Record(count + 1, now).text());
            }
        }
        let subject = Subject::new(recipient, Kind::Recipient);
        match decision {
            Decision::Later => {
                let status = Status::new(4, 2, 0);
                Verdict::DeferIfPermit(Refusal::of(&subject, 450, status, &config.text))
            }
            Decision::Known => Verdict::Dunno,
            Decision::Welcome(waited) => {
                let (host, date) = (&config.hostname, Timestamp::now().mail_date());
                let value = format!("PREPEND X-Greylist: delayed {waited} seconds by {host}; {date}");
                let table = "greylist".to_owned();
                Verdict::Found(Box::new(Found { table, key: String::new(), value, subject }))
            }
        }
    }

    async fn is_exempt(&self, f: &Facts<'_>, ip: IpAddr, recipient: &str) -> bool {
        let domain = recipient.rsplit_once('@').map_or("", |(_, d)| d);
        let recipients = &self.matches.greylist_recipients;
        self.matches.greylist_clients.matches_client(&f.client.name, ip).await.unwrap_or(false)
            || recipients.matches(recipient).await.unwrap_or(false)
            || recipients.matches(domain).await.unwrap_or(false)
    }

    /// Now and then, forgets what has expired.
    fn clean_greylist(&self, cache: &Cache, now: u64) {
        let last = self.greylist.cleaned.load(Ordering::Relaxed);
        if now.saturating_sub(last) < CLEAN_EVERY {
            return;
        }
        self.greylist.cleaned.store(now, Ordering::Relaxed);
        let config = &self.config.greylist;
        cache.retain(|key, value| match Record::parse(value) {
            Some(Record(first, last)) if key.starts_with("t ") && first == last => {
                now.saturating_sub(last) <= config.retry_window
            }
            Some(Record(_, last)) => now.saturating_sub(last) <= config.max_age,
            None => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> GreylistConfig {
        GreylistConfig::from_config(&Config::from_text("")).expect("defaults")
    }

    #[test]
    fn decisions() {
        let c = config();
        let (first, day) = (1_000_000, 86_400);
        for (record, now, want) in [
            (None, first, (Decision::Later, Record(first, first))),
            (Some(Record(first, first)), first + 299, (Decision::Later, Record(first, first))),
            (Some(Record(first, first)), first + 300, (Decision::Welcome(300), Record(first, first + 300))),
            (
                Some(Record(first, first)),
                first + 3 * day,
                (Decision::Later, Record(first + 3 * day, first + 3 * day)),
            ),
            (Some(Record(first, first + 400)), first + 500, (Decision::Known, Record(first, first + 500))),
            (
                Some(Record(first, first + 400)),
                first + 30 * day,
                (Decision::Known, Record(first, first + 30 * day)),
            ),
            (
                Some(Record(first, first + 400)),
                first + 36 * day,
                (Decision::Later, Record(first + 36 * day, first + 36 * day)),
            ),
        ] {
            assert_eq!(decide(record, now, &c), want, "{record:?} {now}");
        }
    }

    #[test]
    fn keys() {
        for (ip, want) in [("192.0.2.77", "192.0.2.0"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")] {
            assert_eq!(network(ip.parse().expect("address"), config().prefixes), want);
        }
        for (sender, want) in
            [("A+x@Example.ORG", "a@example.org"), ("bounce-123-45@x", "bounce-#-#@x"), ("", "@")]
        {
            assert_eq!(stable(sender), want);
        }
        assert_eq!(Record::parse(&Record(3, 4).text()), Some(Record(3, 4)));
    }

    #[test]
    fn settings() {
        let own = "greylist_text = Come back\ngreylist_delay = 1s\ngreylist_retry_window = 2s\ngreylist_max_age = 3s\ngreylist_auto_allow_clients = 4\ngreylist_ipv4_prefix_length = 16\ngreylist_ipv6_prefix_length = 48";
        let c = GreylistConfig::from_config(&Config::from_text(own)).expect("settings");
        assert_eq!((c.delay, c.retry_window, c.max_age, c.auto_allow), (1, 2, 3, 4));
        assert_eq!((c.prefixes, c.text.as_str()), ((16, 48), "Come back"));
    }
}
