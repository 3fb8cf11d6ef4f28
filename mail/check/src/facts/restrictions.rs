//! The restrictions: what follows each name, what it needs to know, and the name that replaced it. postconf(5),
//! SMTPD_ACCESS_README, DEPRECATION_README.

use crate::Site;

/// What follows the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// Nothing.
    None,
    /// `type:table`.
    Table,
    /// A domain of a blocklist.
    Domain,
    /// A policy server.
    Server,
    /// A number of seconds.
    Seconds,
}

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
    /// What it needs.
    pub needs: Needs,
    /// The name to use today; an advice when it holds a space. Empty: this one.
    pub today: &'static str,
}

const fn r(name: &'static str, argument: Argument, needs: Needs) -> Restriction {
    Restriction { name, argument, needs, today: "" }
}

const fn old(name: &'static str, argument: Argument, needs: Needs, today: &'static str) -> Restriction {
    Restriction { name, argument, needs, today }
}

use Argument::{Domain, None as Nothing, Seconds, Server, Table};
use Needs::{Client, Data, Etrn, Helo, Recipient, Sender};

/// Every restriction, sorted by name.
#[rustfmt::skip]
pub const ALL: &[Restriction] = &[
    r("check_ccert_access", Table, Client),
    r("check_client_a_access", Table, Client),
    r("check_client_access", Table, Client),
    r("check_client_mx_access", Table, Client),
    r("check_client_ns_access", Table, Client),
    r("check_etrn_access", Table, Etrn),
    r("check_greylist", Nothing, Recipient),
    r("check_helo_a_access", Table, Helo),
    r("check_helo_access", Table, Helo),
    r("check_helo_mx_access", Table, Helo),
    r("check_helo_ns_access", Table, Helo),
    r("check_policy_service", Server, Client),
    r("check_recipient_a_access", Table, Recipient),
    r("check_recipient_access", Table, Recipient),
    old("check_recipient_maps", Nothing, Recipient, "reject_unlisted_recipient"),
    r("check_recipient_mx_access", Table, Recipient),
    r("check_recipient_ns_access", Table, Recipient),
    old("check_relay_domains", Nothing, Recipient, "reject_unauth_destination"),
    r("check_reverse_client_hostname_a_access", Table, Client),
    r("check_reverse_client_hostname_access", Table, Client),
    r("check_reverse_client_hostname_mx_access", Table, Client),
    r("check_reverse_client_hostname_ns_access", Table, Client),
    r("check_sasl_access", Table, Client),
    r("check_sender_a_access", Table, Sender),
    r("check_sender_access", Table, Sender),
    r("check_sender_mx_access", Table, Sender),
    r("check_sender_ns_access", Table, Sender),
    r("defer", Nothing, Client),
    r("defer_if_permit", Nothing, Client),
    r("defer_if_reject", Nothing, Client),
    r("defer_unauth_destination", Nothing, Recipient),
    r("permit", Nothing, Client),
    r("permit_auth_destination", Nothing, Recipient),
    r("permit_dnswl_client", Domain, Client),
    r("permit_inet_interfaces", Nothing, Client),
    old("permit_mx_backup", Nothing, Recipient, "relay_domains with the domains that are to be relayed"),
    r("permit_mynetworks", Nothing, Client),
    old("permit_naked_ip_address", Nothing, Helo, "permit_mynetworks or permit_sasl_authenticated"),
    r("permit_rhswl_client", Domain, Client),
    r("permit_sasl_authenticated", Nothing, Client),
    r("permit_tls_all_clientcerts", Nothing, Client),
    r("permit_tls_clientcerts", Nothing, Client),
    r("reject", Nothing, Client),
    r("reject_authenticated_sender_login_mismatch", Nothing, Sender),
    old("reject_invalid_hostname", Nothing, Helo, "reject_invalid_helo_hostname"),
    r("reject_invalid_helo_hostname", Nothing, Helo),
    r("reject_known_sender_login_mismatch", Nothing, Sender),
    old("reject_maps_rbl", Nothing, Client, "reject_rbl_client followed by the domain of the list"),
    r("reject_multi_recipient_bounce", Nothing, Data),
    old("reject_non_fqdn_hostname", Nothing, Helo, "reject_non_fqdn_helo_hostname"),
    r("reject_non_fqdn_helo_hostname", Nothing, Helo),
    r("reject_non_fqdn_recipient", Nothing, Recipient),
    r("reject_non_fqdn_sender", Nothing, Sender),
    r("reject_plaintext_session", Nothing, Client),
    old("reject_rbl", Domain, Client, "reject_rbl_client"),
    r("reject_rbl_client", Domain, Client),
    r("reject_rhsbl_client", Domain, Client),
    r("reject_rhsbl_helo", Domain, Helo),
    r("reject_rhsbl_recipient", Domain, Recipient),
    r("reject_rhsbl_reverse_client", Domain, Client),
    r("reject_rhsbl_sender", Domain, Sender),
    r("reject_sender_login_mismatch", Nothing, Sender),
    r("reject_unauth_destination", Nothing, Recipient),
    r("reject_unauth_pipelining", Nothing, Client),
    r("reject_unauthenticated_sender_login_mismatch", Nothing, Sender),
    old("reject_unknown_address", Nothing, Sender, "reject_unknown_sender_domain"),
    old("reject_unknown_client", Nothing, Client, "reject_unknown_client_hostname"),
    r("reject_unknown_client_hostname", Nothing, Client),
    r("reject_unknown_forward_client_hostname", Nothing, Client),
    r("reject_unknown_helo_hostname", Nothing, Helo),
    old("reject_unknown_hostname", Nothing, Helo, "reject_unknown_helo_hostname"),
    r("reject_unknown_recipient_domain", Nothing, Recipient),
    r("reject_unknown_reverse_client_hostname", Nothing, Client),
    r("reject_unknown_sender_domain", Nothing, Sender),
    r("reject_unlisted_recipient", Nothing, Recipient),
    r("reject_unlisted_sender", Nothing, Sender),
    r("reject_unverified_recipient", Nothing, Recipient),
    r("reject_unverified_sender", Nothing, Sender),
    r("sleep", Seconds, Client),
    r("warn_if_reject", Nothing, Client),
];

/// The restriction of this name, in any case.
pub fn find(name: &str) -> Option<&'static Restriction> {
    ALL.iter().find(|r| r.name.eq_ignore_ascii_case(name))
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

    /// Everything that the server knows stands here, and takes the same argument.
    #[test]
    fn complete() {
        for rule in mail_restrict::rules::RULES {
            let found = find(rule.name).unwrap_or_else(|| panic!("{}", rule.name));
            let takes = rule.argument != mail_restrict::rules::Argument::None;
            assert_eq!(takes, found.argument != Argument::None, "{}", rule.name);
        }
        assert!(
            ALL.iter()
                .filter(|r| !r.today.contains([' ', ',']))
                .all(|r| r.today.is_empty() || find(r.today).is_some())
        );
        for (i, r) in ALL.iter().enumerate() {
            assert!(ALL.iter().skip(i + 1).all(|o| o.name != r.name), "{}", r.name);
        }
    }
}
