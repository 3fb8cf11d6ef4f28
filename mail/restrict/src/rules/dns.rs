//! Shared by the restrictions that ask DNS lists: whom they are about, and the answer.

use super::{About, Context, Permits, Rule, addresses::lookup_key, permit_auth_destination::authorized};
use crate::{
    Refusal, Verdict,
    dnslist::{Key, Listed, refusal},
    rules::{Ahead, Argument},
    verdict::{Answer, Kind, Subject},
};
use proto_address::{split_domain, valid_ip};
use proto_dsn::Status;
use std::net::IpAddr;

/// What a list is asked about.
pub(crate) enum Who {
    Address(IpAddr),
    Domain(String),
}

impl Who {
    pub(crate) fn key(&self) -> Key<'_> {
        match self {
            Self::Address(ip) => Key::Address(*ip),
            Self::Domain(name) => Key::Domain(name),
        }
    }
}

/// A restriction that refuses what is listed.
pub(super) const fn refusing(name: &'static str, about: About) -> Rule {
    Rule { argument: Argument::DnsList, ahead: Ahead::Asks, about, ..Rule::new(name, reject) }
}

/// A restriction that permits what is listed.
pub(super) const fn welcoming(name: &'static str, about: About) -> Rule {
    Rule { permits: Permits::Client, ..Rule { check: permit, ..refusing(name, about) } }
}

impl Context<'_> {
    /// Whom this restriction asks about; nobody when that is not known or makes no sense in DNS.
    pub(crate) fn dns_key(&self, names_known: bool) -> Option<Who> {
        let client = self.facts.client;
        let name = match self.rule.about {
            About::Address => return client.ip.filter(|ip| !ip.is_unspecified()).map(Who::Address),
            About::Client if names_known => known(&client.name)?,
            About::ReverseClient if names_known => known(&client.reverse_name)?,
            About::Client | About::ReverseClient => return None,
            About::Helo => self.facts.helo?,
            About::Sender => split_domain(self.facts.sender?).1?,
            About::Recipient => split_domain(self.facts.recipient?).1?,
        };
        let askable = !name.is_empty() && !name.starts_with('[') && !valid_ip(name);
        askable.then(|| Who::Domain(name.to_owned()))
    }

    /// As the reply shows it.
    fn dns_shown(&self) -> (String, &'static str) {
        let client = self.facts.client;
        let (text, kind) = match self.rule.about {
            About::Address => (client.addr.as_str(), Kind::Client),
            About::Client => (client.name.as_str(), Kind::Client),
            About::ReverseClient => (client.reverse_name.as_str(), Kind::ReverseClient),
            About::Helo => (self.facts.helo.unwrap_or_default(), Kind::Helo),
            About::Sender => (self.facts.sender.unwrap_or_default(), Kind::Sender),
            About::Recipient => (self.facts.recipient.unwrap_or_default(), Kind::Recipient),
        };
        (text.to_owned(), kind.class())
    }
}

/// A client without a name is not asked about.
fn known(name: &str) -> Option<&str> {
    (name != "unknown").then_some(name)
}

fn reject(c: Context<'_>) -> Answer<'_> {
    let Some(list) = c.dns_list() else { return Verdict::Reject(Refusal::configuration()).into() };
    let Some(who) = c.dns_key(true) else { return Verdict::Dunno.into() };
    Answer::later(async move {
        match c.restrict.listed(list, who.key(), c.facts).await {
            Ok(true) => {
                let (what, class) = c.dns_shown();
                Verdict::Reject(refusal(&c, &Listed { list, key: who.key(), what, class }).await)
            }
            Ok(false) | Err(_) => Verdict::Dunno,
        }
    })
}

fn permit(c: Context<'_>) -> Answer<'_> {
    let Some(list) = c.dns_list() else { return Verdict::Reject(Refusal::configuration()).into() };
    let Some(who) = c.dns_key(true) else { return Verdict::Dunno.into() };
    Answer::later(async move {
        // Who is welcome may still not relay.
        match authorized(&c).await {
            Ok(true) => {}
            Ok(false) => return Verdict::Dunno,
            Err(verdict) => return verdict,
        }
        match c.restrict.listed(list, who.key(), c.facts).await {
            Ok(true) => Verdict::Permit,
            Ok(false) => Verdict::Dunno,
            Err(_) => Verdict::DeferIfReject(unknown(&c)),
        }
    })
}

/// Nobody knows whether the client is welcome.
fn unknown(c: &Context<'_>) -> Refusal {
    let (what, _) = c.dns_shown();
    let subject = Subject::new(what, Kind::Client);
    Refusal::of(&subject, 450, Status::new(4, 7, 1), "Service unavailable")
}

/// The address as tables see it, for the restrictions about hosts of a domain.
pub(super) async fn rewritten(c: &Context<'_>, address: &str, subject: &Subject) -> Result<String, Verdict> {
    lookup_key(c, address, subject).await
}
