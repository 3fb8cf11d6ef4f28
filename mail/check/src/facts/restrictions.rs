//! What restrictions need to know, and the names that replaced those of the past. Names and arguments are those of the server's own registry.
//! postconf(5), SMTPD_ACCESS_README, DEPRECATION_README.

use crate::Site;
pub use mail_restrict::rules::Argument;
use mail_restrict::rules::{RULES, Rule};

/// What must be known for a restriction to have an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing but the client.
    Client,
    /// The HELO name.
    Helo,
    /// The sender.
    Sender,
    /// The recipient.
    Recipient,
    /// All recipients: only from DATA on.
    Data,
    /// The argument of ETRN.
    Etrn,
}

/// One restriction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restriction {
    /// Lower-case name.
    pub name: &'static str,
    /// What follows it.
    pub argument: Argument,
}

/// In front of a restriction: stands in lists as one, but is none of the registry.
const WARN_IF_REJECT: Restriction = Restriction { name: "warn_if_reject", argument: Argument::None };

/// Which restrictions need more than the client.
#[rustfmt::skip]
const NEEDS: &[(Needs, &[&str])] = &[
    (Needs::Helo, &[
        "check_helo_a_access", "check_helo_access", "check_helo_mx_access", "check_helo_ns_access",
        "permit_naked_ip_address", "reject_invalid_hostname", "reject_invalid_helo_hostname",
        "reject_non_fqdn_hostname", "reject_non_fqdn_helo_hostname", "reject_rhsbl_helo",
        "reject_spf_helo_fail", "reject_unknown_helo_hostname", "reject_unknown_hostname",
    ]),
    (Needs::Sender, &[
        "defer_spf_temperror", "reject_spf_fail", "reject_spf_permerror", "reject_spf_softfail",
        "check_sender_a_access", "check_sender_access", "check_sender_mx_access", "check_sender_ns_access",
        "reject_authenticated_sender_login_mismatch", "reject_known_sender_login_mismatch", "reject_non_fqdn_sender",
        "reject_rhsbl_sender", "reject_sender_login_mismatch", "reject_unauthenticated_sender_login_mismatch",
        "reject_unknown_address", "reject_unknown_sender_domain", "reject_unlisted_sender",
        "reject_unverified_sender",
    ]),
    (Needs::Recipient, &[
        "check_greylist", "check_recipient_a_access", "check_recipient_access", "check_recipient_maps",
        "check_recipient_mx_access", "check_recipient_ns_access", "check_relay_domains", "defer_unauth_destination",
        "permit_auth_destination", "permit_mx_backup", "reject_non_fqdn_recipient", "reject_rhsbl_recipient",
        "reject_unauth_destination", "reject_unknown_recipient_domain", "reject_unlisted_recipient",
        "reject_unverified_recipient",
    ]),
    (Needs::Data, &[
        "reject_multi_recipient_bounce",
    ]),
    (Needs::Etrn, &[
        "check_etrn_access",
    ]),
];

/// The name to use today; an advice when it holds a space.
const TODAY: &[(&str, &str)] = &[
    ("check_recipient_maps", "reject_unlisted_recipient"),
    ("check_relay_domains", "reject_unauth_destination"),
    ("permit_mx_backup", "relay_domains with the domains that are to be relayed"),
    ("permit_naked_ip_address", "permit_mynetworks or permit_sasl_authenticated"),
    ("reject_invalid_hostname", "reject_invalid_helo_hostname"),
    ("reject_maps_rbl", "reject_rbl_client followed by the domain of the list"),
    ("reject_non_fqdn_hostname", "reject_non_fqdn_helo_hostname"),
    ("reject_rbl", "reject_rbl_client"),
    ("reject_unknown_address", "reject_unknown_sender_domain"),
    ("reject_unknown_client", "reject_unknown_client_hostname"),
    ("reject_unknown_hostname", "reject_unknown_helo_hostname"),
];

impl Restriction {
    fn of(rule: &Rule) -> Self {
        Self { name: rule.name, argument: rule.argument }
    }

    /// What it needs.
    pub fn needs(&self) -> Needs {
        NEEDS.iter().find(|(_, names)| names.contains(&self.name)).map_or(Needs::Client, |(needs, _)| *needs)
    }

    /// The name to use today, or an advice; `None`: this one.
    pub fn today(&self) -> Option<&'static str> {
        TODAY.iter().find(|(old, _)| *old == self.name).map(|(_, today)| *today)
    }

    /// Whether a table follows it.
    pub fn takes_table(&self) -> bool {
        matches!(self.argument, Argument::Table | Argument::CertTable)
    }
}

/// The names of all restrictions.
pub fn names<'a>() -> impl Iterator<Item = &'a str> {
    RULES.iter().map(|r| r.name).chain([WARN_IF_REJECT.name])
}

/// The restriction of this name, in any case.
pub fn find(name: &str) -> Option<Restriction> {
    let mut all = RULES.iter().map(|r| Restriction::of(r)).chain([WARN_IF_REJECT]);
    all.find(|r| r.name.eq_ignore_ascii_case(name))
}

/// The restriction classes of a configuration, of all its services.
pub fn classes(site: &Site) -> Vec<String> {
    let set = site.settings();
    let lists = set.iter().filter(|s| s.name == "smtpd_restriction_classes");
    lists.flat_map(|s| s.words()).map(|w| w.text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is said here is said of restrictions that the server has.
    #[test]
    fn known() {
        let told = NEEDS.iter().flat_map(|(_, names)| names.iter()).chain(TODAY.iter().map(|(old, _)| old));
        let today = TODAY.iter().map(|(_, today)| today).filter(|t| !t.contains(' '));
        for name in told.chain(today) {
            assert!(find(name).is_some(), "{name}");
        }
    }

    /// A name that tells whom a restriction is about tells what it needs.
    #[test]
    fn complete() {
        for name in names() {
            let word = |w: &str| name.contains(&format!("_{w}"));
            let expect = match () {
                () if word("multi_recipient") => Needs::Data,
                () if word("helo") => Needs::Helo,
                () if word("sender") => Needs::Sender,
                () if word("recipient") => Needs::Recipient,
                () if word("etrn") => Needs::Etrn,
                () => continue,
            };
            assert_eq!(find(name).unwrap().needs(), expect, "{name}");
        }
    }
}
