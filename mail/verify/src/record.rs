//! What the cache holds of an address, in Postfix's form `status:probed:updated:text`, so that a cache of either server is
//! understood by the other.

use crate::{IN_PROGRESS, PROBE_TIME, VerifyConfig};
use base_calls::{Deliverable, Verified};

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub status: Deliverable,
    /// When the probe that is under way was sent; 0 when none is.
    pub probed: u64,
    /// When the status was found out; 0: never.
    pub updated: u64,
    pub text: String,
}

/// The numbers of the file, by position.
const STATUS: [Deliverable; 4] =
    [Deliverable::Yes, Deliverable::Deferred, Deliverable::No, Deliverable::Unknown];

/// How an address is looked up.
pub(crate) fn key(address: &str) -> String {
    address.to_lowercase()
}

impl Record {
    /// Nothing is known.
    pub fn unknown() -> Self {
        Self { status: Deliverable::Unknown, probed: 0, updated: 0, text: IN_PROGRESS.to_owned() }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ':');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (status, probed, updated) = (number()?, number()?, number()?);
        let status = *STATUS.get(usize::try_from(status).ok()?)?;
        Some(Self { status, probed, updated, text: parts.next()?.to_owned() })
    }

    pub fn text(&self) -> String {
        let status = STATUS.iter().position(|s| *s == self.status).unwrap_or_default();
        let text: String =
            self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(1000).collect();
        format!("{status}:{}:{}:{text}", self.probed, self.updated)
    }

    /// Too old to count; an address never found out counts while its probe is under way.
    pub fn is_expired(&self, c: &VerifyConfig, now: u64) -> bool {
        let life = if self.status == Deliverable::Yes { c.positive_expire } else { c.negative_expire };
        match self.updated {
            0 => self.probed.saturating_add(PROBE_TIME) < now,
            updated => updated.saturating_add(life) < now,
        }
    }

    /// Whether a probe is due: the last one is over, and what it found is old.
    pub fn is_due(&self, c: &VerifyConfig, now: u64) -> bool {
        let fresh = if self.status == Deliverable::Yes { c.positive_refresh } else { c.negative_refresh };
        let idle = self.probed.saturating_add(PROBE_TIME) < now;
        idle && (self.updated == 0 || self.updated.saturating_add(fresh) < now)
    }

    pub fn answer(&self) -> Verified {
        Verified { status: self.status, text: self.text.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_conf::Config;

    #[test]
    fn as_postfix_writes_it() {
        for text in ["0:0:1795312788:250 2.1.5 Ok", "2:0:1795312789:host x[1.2.3.4] said: 550 a:b", "3:5:0:x"]
        {
            assert_eq!(Record::parse(text).map(|r| r.text()).as_deref(), Some(text));
        }
        for junk in ["", "1795312781", "9:0:0:x", "0:0:0", "0:-1:0:x"] {
            assert_eq!(Record::parse(junk), None, "{junk}");
        }
    }

    #[test]
    fn ages() {
        let c = VerifyConfig::from_config(&Config::from_text("")).expect("defaults");
        let now = 100_000_000;
        let day = 86_400;
        for (status, probed, age, expired, due) in [
            (Deliverable::Yes, 0, 1, false, false),
            (Deliverable::Yes, 0, 8 * day, false, true),
            (Deliverable::Yes, now - 10, 8 * day, false, false),
            (Deliverable::Yes, now - 2000, 8 * day, false, true),
            (Deliverable::Yes, 0, 32 * day, true, true),
            (Deliverable::No, 0, 1, false, false),
            (Deliverable::No, 0, 4 * 3600, false, true),
            (Deliverable::Deferred, 0, 4 * day, true, true),
        ] {
            let r = Record { status, probed, updated: now - age, text: String::new() };
            assert_eq!((r.is_expired(&c, now), r.is_due(&c, now)), (expired, due), "{r:?}");
        }
        let own = "address_verify_positive_expire_time = 5s\naddress_verify_positive_refresh_time = 2s
address_verify_negative_expire_time = 9s\naddress_verify_negative_refresh_time = 7s";
        let own = VerifyConfig::from_config(&Config::from_text(own)).expect("own settings");
        for (status, age, expired, due) in [
            (Deliverable::Yes, 1, false, false),
            (Deliverable::Yes, 3, false, true),
            (Deliverable::Yes, 6, true, true),
            (Deliverable::No, 6, false, false),
            (Deliverable::No, 8, false, true),
            (Deliverable::No, 10, true, true),
        ] {
            let r = Record { status, probed: 0, updated: now - age, text: String::new() };
            assert_eq!((r.is_expired(&own, now), r.is_due(&own, now)), (expired, due), "{r:?}");
        }
        let fresh = Record { probed: now, ..Record::unknown() };
        assert_eq!((fresh.is_expired(&c, now), fresh.is_due(&c, now)), (false, false));
        assert!(Record::unknown().is_due(&c, now));
    }
}
