//! The restrictions: one file each, and the sorted registry that evaluator, `postconf` and tests read. postconf(5).

use crate::{
    Facts, ListName, Refusal, Restrict,
    dnslist::DnsList,
    list::Arg,
    lookup::Lookup,
    verdict::{Answer, Kind, Subject},
};
use base_calls::{Resolution, RewriteContext, RouteError};
use base_tables::Table;
use proto_dsn::Status;

mod addresses;
mod check_a_access;
pub(crate) mod check_ccert_access;
mod check_client_access;
mod check_etrn_access;
mod check_greylist;
mod check_helo_access;
mod check_mx_access;
mod check_ns_access;
mod check_policy_service;
mod check_recipient_access;
mod check_relay_domains;
mod check_reverse_client_hostname_access;
mod check_sasl_access;
mod check_sender_access;
mod defer;
mod defer_if_permit;
mod defer_if_reject;
mod defer_spf_temperror;
mod defer_unauth_destination;
mod dns;
mod hosts;
mod logins;
mod permit;
mod permit_auth_destination;
mod permit_dnswl_client;
mod permit_inet_interfaces;
mod permit_mx_backup;
mod permit_mynetworks;
mod permit_naked_ip_address;
mod permit_rhswl_client;
mod permit_sasl_authenticated;
mod permit_tls_clientcerts;
mod reject;
mod reject_authenticated_sender_login_mismatch;
mod reject_invalid_helo_hostname;
mod reject_known_sender_login_mismatch;
mod reject_maps_rbl;
mod reject_multi_recipient_bounce;
mod reject_non_fqdn_helo_hostname;
mod reject_non_fqdn_recipient;
mod reject_non_fqdn_sender;
mod reject_plaintext_session;
mod reject_rbl_client;
mod reject_rhsbl_client;
mod reject_rhsbl_helo;
mod reject_rhsbl_recipient;
mod reject_rhsbl_reverse_client;
mod reject_rhsbl_sender;
mod reject_sender_login_mismatch;
mod reject_spf_fail;
mod reject_spf_helo_fail;
mod reject_spf_permerror;
mod reject_spf_softfail;
mod reject_unauth_destination;
mod reject_unauth_pipelining;
mod reject_unauthenticated_sender_login_mismatch;
mod reject_unknown_client_hostname;
mod reject_unknown_helo_hostname;
mod reject_unknown_recipient_domain;
mod reject_unknown_reverse_client_hostname;
mod reject_unknown_sender_domain;
pub(crate) mod reject_unlisted_recipient;
pub(crate) mod reject_unlisted_sender;
mod reject_unverified_recipient;
mod reject_unverified_sender;
mod servers;
mod sleep;
mod spf;
mod unlisted;
pub(crate) mod unverified;

/// What follows the name of a restriction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// Nothing.
    None,
    /// `type:table`.
    Table,
    /// `type:table`, or `{ type:table, search_order = … }`.
    CertTable,
    /// A number of seconds.
    Seconds,
    /// `domain`, or `domain=value`.
    DnsList,
    /// `transport:server`, or `{ transport:server, name=value … }`.
    Policy,
}

/// What can be told of a restriction before it is asked, for those who ask DNS ahead of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// It may permit: what follows may never be asked.
    Stops,
    /// It never permits.
    Passes,
    /// It always ends the list.
    Ends,
    /// It asks a DNS list.
    Asks,
    /// It permits certain clients: ask it.
    Client,
    /// It permits who has logged in.
    Login,
}

/// Whom a restriction about domains is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// The client's address.
    Address,
    /// The client's name.
    Client,
    /// The client's name, whether it leads back or not.
    ReverseClient,
    /// The HELO name.
    Helo,
    /// The sender.
    Sender,
    /// The recipient.
    Recipient,
}

/// Whom a restriction permits (`smtpd_log_access_permit_actions`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permits {
    /// What the list is about.
    Subject,
    /// The client, wherever the restriction stands.
    Client,
    /// The recipient.
    Recipient,
}

impl Permits {
    pub(crate) fn subject(self, facts: &Facts<'_>, list: &Subject) -> Subject {
        match self {
            Self::Subject => list.clone(),
            Self::Client => Subject::new(facts.client.namaddr(), Kind::Client),
            Self::Recipient => Subject::new(facts.recipient.unwrap_or_default(), Kind::Recipient),
        }
    }
}

/// One restriction.
pub struct Rule {
    /// Lower-case name.
    pub name: &'static str,
    /// What follows it.
    pub argument: Argument,
    /// Counts as protection against being an open relay.
    pub closes_relay: bool,
    /// Whom it permits, for the log.
    pub(crate) permits: Permits,
    /// What can be told before it is asked.
    pub(crate) ahead: Ahead,
    /// A table may not permit.
    pub(crate) forbids_ok: bool,
    /// Whom it is about, where several restrictions differ in that only.
    pub(crate) about: About,
    /// Asks it.
    pub(crate) check: for<'a> fn(Context<'a>) -> Answer<'a>,
}

impl Rule {
    /// A restriction without argument.
    const fn new(name: &'static str, check: for<'a> fn(Context<'a>) -> Answer<'a>) -> Self {
        Self {
            name,
            argument: Argument::None,
            closes_relay: false,
            permits: Permits::Subject,
            ahead: if only_refuses(name) { Ahead::Passes } else { Ahead::Stops },
            forbids_ok: false,
            about: About::Client,
            check,
        }
    }

    /// A restriction with a table.
    const fn table(name: &'static str, check: for<'a> fn(Context<'a>) -> Answer<'a>) -> Self {
        Self { argument: Argument::Table, ..Self::new(name, check) }
    }

    /// A restriction that keeps strangers out.
    const fn closing(name: &'static str, check: for<'a> fn(Context<'a>) -> Answer<'a>) -> Self {
        Self { closes_relay: true, ..Self::new(name, check) }
    }
}

/// `reject_…` and `defer_…` never permit.
const fn only_refuses(name: &str) -> bool {
    matches!(
        name.as_bytes(),
        [b'r', b'e', b'j', b'e', b'c', b't', b'_', ..] | [b'd', b'e', b'f', b'e', b'r', b'_', ..]
    )
}

/// All restrictions, sorted by name. Aliases (`reject_unknown_client` …) are entries of their own.
pub static RULES: &[&Rule] = &[
    &check_ccert_access::RULE,
    &check_a_access::CLIENT,
    &check_client_access::RULE,
    &check_mx_access::CLIENT,
    &check_ns_access::CLIENT,
    &check_etrn_access::RULE,
    &check_greylist::RULE,
    &check_a_access::HELO,
    &check_helo_access::RULE,
    &check_mx_access::HELO,
    &check_ns_access::HELO,
    &check_policy_service::RULE,
    &check_a_access::RECIPIENT,
    &check_recipient_access::RULE,
    &reject_unlisted_recipient::OLD_NAME,
    &check_mx_access::RECIPIENT,
    &check_ns_access::RECIPIENT,
    &check_relay_domains::RULE,
    &check_a_access::REVERSE_CLIENT,
    &check_reverse_client_hostname_access::RULE,
    &check_mx_access::REVERSE_CLIENT,
    &check_ns_access::REVERSE_CLIENT,
    &check_sasl_access::RULE,
    &check_a_access::SENDER,
    &check_sender_access::RULE,
    &check_mx_access::SENDER,
    &check_ns_access::SENDER,
    &defer::RULE,
    &defer_if_permit::RULE,
    &defer_if_reject::RULE,
    &defer_spf_temperror::RULE,
    &defer_unauth_destination::RULE,
    &permit::RULE,
    &permit_auth_destination::RULE,
    &permit_dnswl_client::RULE,
    &permit_inet_interfaces::RULE,
    &permit_mx_backup::RULE,
    &permit_mynetworks::RULE,
    &permit_naked_ip_address::RULE,
    &permit_rhswl_client::RULE,
    &permit_sasl_authenticated::RULE,
    &permit_tls_clientcerts::ALL,
    &permit_tls_clientcerts::RULE,
    &reject::RULE,
    &reject_authenticated_sender_login_mismatch::RULE,
    &reject_invalid_helo_hostname::RULE,
    &reject_invalid_helo_hostname::OLD_NAME,
    &reject_known_sender_login_mismatch::RULE,
    &reject_maps_rbl::RULE,
    &reject_multi_recipient_bounce::RULE,
    &reject_non_fqdn_helo_hostname::RULE,
    &reject_non_fqdn_helo_hostname::OLD_NAME,
    &reject_non_fqdn_recipient::RULE,
    &reject_non_fqdn_sender::RULE,
    &reject_plaintext_session::RULE,
    &reject_rbl_client::OLD_NAME,
    &reject_rbl_client::RULE,
    &reject_rhsbl_client::RULE,
    &reject_rhsbl_helo::RULE,
    &reject_rhsbl_recipient::RULE,
    &reject_rhsbl_reverse_client::RULE,
    &reject_rhsbl_sender::RULE,
    &reject_sender_login_mismatch::RULE,
    &reject_spf_fail::RULE,
    &reject_spf_helo_fail::RULE,
    &reject_spf_permerror::RULE,
    &reject_spf_softfail::RULE,
    &reject_unauth_destination::RULE,
    &reject_unauth_pipelining::RULE,
    &reject_unauthenticated_sender_login_mismatch::RULE,
    &reject_unknown_sender_domain::OLD_NAME,
    &reject_unknown_client_hostname::OLD_NAME,
    &reject_unknown_client_hostname::RULE,
    &reject_unknown_helo_hostname::RULE,
    &reject_unknown_helo_hostname::OLD_NAME,
    &reject_unknown_recipient_domain::RULE,
    &reject_unknown_reverse_client_hostname::RULE,
    &reject_unknown_sender_domain::RULE,
    &reject_unlisted_recipient::RULE,
    &reject_unlisted_sender::RULE,
    &reject_unverified_recipient::RULE,
    &reject_unverified_sender::RULE,
    &sleep::RULE,
];

/// What a rule sees.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) restrict: &'a Restrict,
    pub(crate) facts: &'a Facts<'a>,
    pub(crate) list: ListName,
    /// What the list is about.
    pub(crate) subject: &'a Subject,
    pub(crate) arg: &'a Arg,
    pub(crate) rule: &'static Rule,
}

impl<'a> Context<'a> {
    fn client(&self) -> Subject {
        Subject::new(self.facts.client.namaddr(), Kind::Client)
    }

    fn helo(&self) -> Option<(&'a str, Subject)> {
        self.facts.helo.map(|h| (h, Subject::new(h, Kind::Helo)))
    }

    fn sender(&self) -> Option<(&'a str, Subject)> {
        self.facts.sender.map(|s| (s, Subject::new(s, Kind::Sender)))
    }

    fn recipient(&self) -> Option<(&'a str, Subject)> {
        self.facts.recipient.map(|r| (r, Subject::new(r, Kind::Recipient)))
    }

    /// Writes `warning: text`.
    pub(crate) fn warning(&self, text: String) {
        self.restrict.log.warning(self.facts.source, text);
    }

    pub(crate) fn dns_list(&self) -> Option<&'a DnsList> {
        match self.arg {
            Arg::Dns(list) => Some(list),
            _ => None,
        }
    }

    fn table(&self) -> Option<&'a dyn Table> {
        match self.arg {
            Arg::Table(t) | Arg::CertTable(t, _) => Some(t.as_ref()),
            _ => None,
        }
    }

    /// Looks `subject` up in the table of the argument.
    async fn lookup<'b, F>(&'b self, subject: Subject, ask: impl FnOnce(Lookup<'b>) -> F) -> crate::Verdict
    where
        F: Future<Output = crate::Verdict>,
    {
        match self.table() {
            Some(table) => ask(Lookup { context: self, table, subject }).await,
            None => crate::Verdict::Reject(Refusal::configuration()),
        }
    }

    /// Whether clients can log in here; a restriction that is about logins says when they cannot.
    fn has_sasl(&self, restrictions: &[&str]) -> bool {
        let has = self.facts.sasl_offered || self.facts.login.is_some();
        for name in restrictions.iter().filter(|_| !has) {
            self.warning(format!("restriction `{name}' ignored: no SASL support"));
        }
        has
    }

    /// Where an address goes that is written as the client likes: in standard form first.
    async fn resolve(&self, recipient: &str) -> Result<Resolution, RouteError> {
        let address = self.standard_form(recipient);
        self.restrict.route.resolve(self.facts.sender.unwrap_or_default(), &address).await
    }

    fn standard_form(&self, address: &str) -> String {
        self.restrict.route.rewrite(RewriteContext::Local, address)
    }
}

/// What the log says of a restriction that Postfix has given up.
fn deprecated(name: &str, new: &str) -> String {
    format!("support for restriction \"{name}\" will be removed from Postfix; use \"{new}\" instead")
}

/// Where an address goes could not be found out.
fn lookup_failure(subject: &Subject) -> Refusal {
    Refusal::new(451, Status::new(4, 3, 0), format!("<{}>: Temporary lookup failure", subject.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_is_sorted_and_found() {
        assert!(RULES.windows(2).all(|w| w[0].name < w[1].name));
        for r in RULES {
            assert_eq!(crate::list::find(&r.name.to_ascii_uppercase()).map(|f| f.name), Some(r.name));
        }
    }
}
