//! The restrictions: one file each, and the sorted registry that evaluator, `postconf` and tests read. postconf(5).

use crate::{
    Facts, ListName, Refusal, Restrict,
    list::Arg,
    lookup::Lookup,
    verdict::{Answer, Kind, Subject},
};
use base_calls::{Resolution, RewriteContext, RouteError};
use base_tables::Table;
use proto_dsn::Status;

mod addresses;
mod check_client_access;
mod check_etrn_access;
mod check_helo_access;
mod check_recipient_access;
mod check_reverse_client_hostname_access;
mod check_sender_access;
mod defer;
mod defer_if_permit;
mod defer_if_reject;
mod defer_unauth_destination;
mod hosts;
mod permit;
mod permit_auth_destination;
mod permit_inet_interfaces;
mod permit_mynetworks;
mod permit_sasl_authenticated;
mod permit_tls_clientcerts;
mod reject;
mod reject_invalid_helo_hostname;
mod reject_multi_recipient_bounce;
mod reject_non_fqdn_helo_hostname;
mod reject_non_fqdn_recipient;
mod reject_non_fqdn_sender;
mod reject_plaintext_session;
mod reject_unauth_destination;
mod reject_unauth_pipelining;
mod reject_unknown_client_hostname;
mod reject_unknown_helo_hostname;
mod reject_unknown_recipient_domain;
mod reject_unknown_reverse_client_hostname;
mod reject_unknown_sender_domain;
pub(crate) mod reject_unlisted_recipient;
pub(crate) mod reject_unlisted_sender;
mod sleep;
mod unlisted;

/// What follows the name of a restriction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// Nothing.
    None,
    /// `type:table`.
    Table,
    /// A number of seconds.
    Seconds,
}

impl Argument {
    /// What a restriction without its argument needs.
    pub(crate) const fn needs(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Table => "a type:table argument",
            Self::Seconds => "a number of seconds",
        }
    }
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
    /// Asks it.
    pub(crate) check: for<'a> fn(Context<'a>) -> Answer<'a>,
}

impl Rule {
    /// A restriction without argument.
    const fn new(name: &'static str, check: for<'a> fn(Context<'a>) -> Answer<'a>) -> Self {
        Self { name, argument: Argument::None, closes_relay: false, permits: Permits::Subject, check }
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

/// All restrictions, sorted by name. Aliases (`reject_unknown_client` …) are entries of their own.
pub static RULES: &[&Rule] = &[
    &check_client_access::RULE,
    &check_etrn_access::RULE,
    &check_helo_access::RULE,
    &check_recipient_access::RULE,
    &check_reverse_client_hostname_access::RULE,
    &check_sender_access::RULE,
    &defer::RULE,
    &defer_if_permit::RULE,
    &defer_if_reject::RULE,
    &defer_unauth_destination::RULE,
    &permit::RULE,
    &permit_auth_destination::RULE,
    &permit_inet_interfaces::RULE,
    &permit_mynetworks::RULE,
    &permit_sasl_authenticated::RULE,
    &permit_tls_clientcerts::ALL,
    &permit_tls_clientcerts::RULE,
    &reject::RULE,
    &reject_invalid_helo_hostname::RULE,
    &reject_invalid_helo_hostname::OLD_NAME,
    &reject_multi_recipient_bounce::RULE,
    &reject_non_fqdn_helo_hostname::RULE,
    &reject_non_fqdn_helo_hostname::OLD_NAME,
    &reject_non_fqdn_recipient::RULE,
    &reject_non_fqdn_sender::RULE,
    &reject_plaintext_session::RULE,
    &reject_unauth_destination::RULE,
    &reject_unauth_pipelining::RULE,
    &reject_unknown_client_hostname::OLD_NAME,
    &reject_unknown_client_hostname::RULE,
    &reject_unknown_helo_hostname::RULE,
    &reject_unknown_helo_hostname::OLD_NAME,
    &reject_unknown_recipient_domain::RULE,
    &reject_unknown_reverse_client_hostname::RULE,
    &reject_unknown_sender_domain::RULE,
    &reject_unlisted_recipient::RULE,
    &reject_unlisted_sender::RULE,
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

    fn table(&self) -> Option<&'a dyn Table> {
        match self.arg {
            Arg::Table(t) => Some(t.as_ref()),
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

    /// Where an address goes that is written as the client likes: in standard form first.
    async fn resolve(&self, recipient: &str) -> Result<Resolution, RouteError> {
        let address = self.standard_form(recipient);
        self.restrict.route.resolve(self.facts.sender.unwrap_or_default(), &address).await
    }

    fn standard_form(&self, address: &str) -> String {
        self.restrict.route.rewrite(RewriteContext::Local, address)
    }
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
