//! Whether a stranger could relay: the relay and recipient restrictions asked for a client that nobody knows, without name
//! lookups, blocklists and policy servers, which may fail or change their mind. For the configuration check.

use crate::{HostStatus, Imagined, ListName, Peer, Restrict, RestrictConfig, rules::RULES};
use base_log::Source;
use std::net::IpAddr;

/// The restrictions that decide who may relay. All others are left out: what they refuse today they may permit tomorrow.
const DECIDING: &[&str] = &[
    "check_relay_domains",
    "defer",
    "defer_if_permit",
    "defer_unauth_destination",
    "permit",
    "permit_auth_destination",
    "permit_inet_interfaces",
    "permit_mynetworks",
    "reject",
    "reject_unauth_destination",
    "warn_if_reject",
];

impl RestrictConfig {
    /// The same configuration, reduced to what decides who may relay.
    #[must_use]
    pub fn deciding_relay(mut self) -> Self {
        let relays = |name: ListName| matches!(name, ListName::Relay | ListName::Recipient);
        let reduce = |name, words: &[String]| if relays(name) { self.relay_words(words) } else { Vec::new() };
        let lists = self.lists.iter().map(|(name, words)| (*name, reduce(*name, words))).collect();
        let classes =
            self.classes.iter().map(|(name, words)| (name.clone(), self.relay_words(words))).collect();
        (self.lists, self.classes) = (lists, classes);
        self.unlisted_recipient = false;
        self.unlisted_sender = false;
        self.only_relay = true;
        self
    }

    /// The words of a list that decide who may relay.
    pub(crate) fn relay_words(&self, words: &[String]) -> Vec<String> {
        let classes: Vec<String> = self.classes.iter().map(|(name, _)| name.clone()).collect();
        deciding(words, &classes)
    }
}

fn deciding(words: &[String], classes: &[String]) -> Vec<String> {
    let is_rule = |w: &str| RULES.iter().any(|r| r.name.eq_ignore_ascii_case(w));
    let mut out = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let table = word.ends_with("_access") && is_rule(word) && !is_dns(word);
        if table {
            out.push(word.clone());
            out.extend(words.next().cloned());
        } else if DECIDING.iter().any(|d| d.eq_ignore_ascii_case(word))
            || classes.contains(word)
            || word.contains(':')
        {
            out.push(word.clone());
        } else if words
            .peek()
            .is_some_and(|next| !is_rule(next) && !classes.contains(next) && takes_argument(word))
        {
            words.next();
        }
    }
    out
}

/// Looks up name servers, mail exchangers or addresses.
fn is_dns(word: &str) -> bool {
    ["_ns_access", "_mx_access", "_a_access"].iter().any(|end| word.ends_with(end))
}

fn takes_argument(word: &str) -> bool {
    ["check_", "reject_rbl", "reject_rhsbl_", "permit_dnswl", "permit_rhswl", "sleep"]
        .iter()
        .any(|start| word.starts_with(start))
}

impl Restrict {
    /// Whether the client at `ip`, about whom nothing else is known, may send from `sender` to `recipient`.
    pub async fn would_relay(&self, ip: IpAddr, sender: &str, recipient: &str) -> bool {
        let unknown = || "unknown".to_owned();
        let client = Peer {
            name: unknown(),
            name_status: HostStatus::Unknown,
            reverse_name: unknown(),
            reverse_status: HostStatus::Unknown,
            addr: ip.to_string(),
            ip: Some(ip),
            server_ip: None,
            port_shown: String::new(),
        };
        let session = Imagined {
            client,
            helo: Some("stranger.invalid".to_owned()),
            sender: sender.to_owned(),
            recipient: recipient.to_owned(),
            login: None,
            tls: None,
            size: 0,
        };
        let stages = self.imagine(&session, &Source::new("postfix/check", 0), None).await;
        stages.iter().all(|(_, outcome)| outcome.refusal.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides() {
        for (list, expect) in [
            (
                "permit_mynetworks reject_rbl_client a.b check_policy_service inet:x:1 reject_unauth_destination",
                "permit_mynetworks reject_unauth_destination",
            ),
            (
                "check_client_access hash:x check_sender_mx_access hash:y k reject",
                "check_client_access hash:x k reject",
            ),
            ("hash:x, permit", "hash:x permit"),
        ] {
            let words: Vec<String> = base_conf::list::split(list).into_iter().map(str::to_owned).collect();
            assert_eq!(deciding(&words, &["k".to_owned()]).join(" "), expect, "{list}");
        }
    }
}
