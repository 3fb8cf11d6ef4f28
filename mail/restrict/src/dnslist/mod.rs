//! DNS block and welcome lists (RFC 5782) as `reject_rbl_client`, `reject_rhsbl_*`, `permit_dnswl_client` and
//! `permit_rhswl_client` ask them.
//!
//! [`DnsList`] is the argument of such a restriction; [`Restrict::listed`] is the question. A list that is down, slow or
//! broken lists nobody and costs a bounded time ([`health`]); the log hears of it once. postconf(5).

mod config;
mod filter;
mod health;
mod reply;

use crate::{Facts, Restrict};
use base_dns::DnsError;
pub(crate) use config::DnsConfig;
use filter::Filter;
pub(crate) use health::Health;
pub(crate) use reply::{Listed, refusal};
use std::net::{IpAddr, Ipv4Addr};

/// `domain` or `domain=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsList {
    /// As configured, the key of `rbl_reply_maps`.
    pub text: String,
    /// Without the filter.
    pub domain: String,
    filter: Option<Filter>,
}

/// What is looked up in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// An address, its parts reversed.
    Address(IpAddr),
    /// A domain.
    Domain(&'a str),
}

impl DnsList {
    /// `None`: the filter cannot be understood.
    pub fn parse(text: &str) -> Option<Self> {
        let (domain, filter) = match text.split_once('=') {
            Some((domain, filter)) => (domain, Some(Filter::parse(filter)?)),
            None => (text, None),
        };
        Some(Self { text: text.to_owned(), domain: domain.to_owned(), filter })
    }

    /// The name to ask for.
    pub fn question(&self, key: Key<'_>) -> String {
        match key {
            Key::Address(IpAddr::V4(a)) => {
                let [a, b, c, d] = a.octets();
                format!("{d}.{c}.{b}.{a}.{}", self.domain)
            }
            Key::Address(IpAddr::V6(a)) => {
                let nibbles = a.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
                nibbles.map(|n| format!("{n:x}.")).collect::<String>() + &self.domain
            }
            Key::Domain(name) => format!("{name}.{}", self.domain),
        }
    }

    /// The name that no list may have (RFC 5782 section 5).
    fn never_listed(&self, key: Key<'_>) -> String {
        match key {
            Key::Address(IpAddr::V4(_)) => self.question(Key::Address(Ipv4Addr::LOCALHOST.into())),
            Key::Address(IpAddr::V6(_)) => {
                let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
                self.question(Key::Address(mapped.into()))
            }
            Key::Domain(_) => self.question(Key::Domain("invalid")),
        }
    }

    /// Whether this answer counts as a listing.
    pub fn accepts(&self, address: IpAddr) -> bool {
        match (&self.filter, address) {
            (None, _) => true,
            (Some(f), IpAddr::V4(a)) => f.matches(a.octets()),
            (Some(_), IpAddr::V6(_)) => false,
        }
    }
}

/// 127.255.255.0/24: how lists say "you may not ask", "too many questions", "no such list".
pub fn is_service_error(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V4(a) if a.octets().starts_with(&[127, 255, 255]))
}

impl Restrict {
    /// Whether a list has this. An error is temporary: nobody knows; the log knows already.
    pub(crate) async fn listed(
        &self,
        list: &DnsList,
        key: Key<'_>,
        facts: &Facts<'_>,
    ) -> Result<bool, DnsError> {
        if !self.health.may_ask(&list.domain) {
            return Err(DnsError::TempFail("list is down".to_owned()));
        }
        let question = list.question(key);
        let addresses = match facts.answers.get(&self.resolver, &question).await {
            Ok(addresses) => addresses,
            Err(e) if e.is_our_filter() => {
                let text = format!("{question}: RBL lookup error: {}", e.text(&question, "A"));
                self.log.warning(facts.source, text);
                return Err(e);
            }
            Err(e) if e.is_temporary() => {
                self.trouble(list, &question, &e, facts);
                return Err(e);
            }
            Err(_) => {
                self.answered(list, facts);
                return Ok(false);
            }
        };
        self.answered(list, facts);
        if let Some(error) = addresses.iter().find(|a| is_service_error(a)) {
            if self.health.is_news(&list.domain) {
                let text =
                    format!("DNS list {} answers {error}, a service error: it lists nobody", list.domain);
                self.log.warning(facts.source, text);
            }
            return Ok(false);
        }
        if !addresses.iter().any(|a| list.accepts(*a)) {
            return Ok(false);
        }
        Ok(self.is_believed(list, key, facts).await)
    }

    /// A list that has what no list may have would refuse everybody: it is not believed.
    async fn is_believed(&self, list: &DnsList, key: Key<'_>, facts: &Facts<'_>) -> bool {
        let never = list.never_listed(key);
        let Ok(addresses) = facts.answers.get(&self.resolver, &never).await else { return true };
        if !addresses.iter().any(|a| list.accepts(*a)) {
            return true;
        }
        if self.health.is_news(&list.domain) {
            let text = format!(
                "DNS list {} has {never}, which no list may have (RFC 5782): it is not believed",
                list.domain
            );
            self.log.warning(facts.source, text);
        }
        false
    }

    fn trouble(&self, list: &DnsList, question: &str, e: &DnsError, facts: &Facts<'_>) {
        match self.health.failed(&list.domain) {
            health::Trouble::New => {
                let text = format!("{question}: RBL lookup error: {}", e.text(question, "A"));
                self.log.warning(facts.source, text);
            }
            health::Trouble::Down => {
                let text = format!(
                    "DNS list {} does not answer: it lists nobody, and is asked only now and then until it does",
                    list.domain
                );
                self.log.warning(facts.source, text);
            }
            health::Trouble::Known => {}
        }
    }

    fn answered(&self, list: &DnsList, facts: &Facts<'_>) {
        if self.health.answered(&list.domain) {
            self.log.info(facts.source, format!("DNS list {} answers again", list.domain));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        let list = DnsList::parse("bl.example=127.0.0.2").expect("list");
        let ask = |ip: &str| list.question(Key::Address(ip.parse().expect("address")));
        assert_eq!(ask("192.0.2.1"), "1.2.0.192.bl.example");
        assert_eq!(
            ask("2001:db8::1"),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example"
        );
        assert_eq!(list.question(Key::Domain("a.b")), "a.b.bl.example");
        assert_eq!(list.never_listed(Key::Domain("a.b")), "invalid.bl.example");
        assert!(list.accepts([127, 0, 0, 2].into()) && !list.accepts([127, 0, 0, 3].into()));
        assert!(DnsList::parse("bl.example=127.0.0").is_none());
    }
}
