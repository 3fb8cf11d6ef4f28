//! Asking where a recipient goes: [`Route`], implemented by mail/route (trivial-rewrite(8)).

use crate::Fut;
use proto_dsn::Status;
use std::sync::Arc;

/// Address classes (ADDRESS_CLASS_README).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressClass {
    /// `mydestination`, `inet_interfaces`, `proxy_interfaces`.
    Local,
    /// `virtual_alias_domains`.
    VirtualAlias,
    /// `virtual_mailbox_domains`.
    VirtualMailbox,
    /// `relay_domains`.
    Relay,
    /// All else.
    Default,
}

/// Where a recipient goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resolution {
    /// Service name in master.cf.
    pub transport: Arc<str>,
    /// Next hop as that transport reads it: a domain, `[host]:port`, or text.
    pub nexthop: Arc<str>,
    /// The recipient after resolving (source routes stripped …).
    pub recipient: String,
    /// Class of its domain.
    pub class: AddressClass,
    /// The recipient's domain had more than one `@`, `%` or `!` routing hop (`allow_untrusted_routing`).
    pub routed: bool,
    /// The address makes no sense (empty, no local part after resolving, …): unknown to any table, `5.1.3`.
    pub invalid: bool,
}

/// Why a recipient is not taken (`reject_unlisted_recipient`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unlisted {
    /// The table of its class does not list it.
    Class(AddressClass),
    /// It is routed to `error:` (permanent) or `retry:`; the text is the next hop, maybe with a status in front.
    Undeliverable {
        /// `error:`
        permanent: bool,
        /// Text after the transport; may be empty.
        text: Arc<str>,
    },
}

/// Why there is no answer: always temporary (a table is down). The recipient is deferred, the client gets 451.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {text}")]
pub struct RouteError {
    /// `4.3.0` or `4.3.5` …
    pub status: Status,
    /// For the log.
    pub text: String,
}

/// Which rewriting rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RewriteContext {
    /// `$myorigin`, `$mydomain`.
    Local,
    /// `remote_header_rewrite_domain`; nothing when that is empty.
    Remote,
}

/// Rewriting to standard form, and resolving to transport and next hop.
pub trait Route: Send + Sync {
    /// Standard form of an address (append `@$myorigin`, `.$mydomain`, strip source routes, `%` hack …).
    fn rewrite(&self, context: RewriteContext, address: &str) -> String;

    /// Transport and next hop for `recipient` of mail from `sender`.
    fn resolve<'a>(&'a self, sender: &'a str, recipient: &'a str) -> Fut<'a, Result<Resolution, RouteError>>;

    /// The same for an address verification probe (`address_verify_transport_maps` and relatives).
    fn resolve_probe<'a>(
        &'a self,
        sender: &'a str,
        recipient: &'a str,
    ) -> Fut<'a, Result<Resolution, RouteError>> {
        self.resolve(sender, recipient)
    }

    /// Whether a recipient can be taken: `Ok(None)` when it can (smtpd's `reject_unlisted_recipient`, `VRFY`). Domains
    /// of the default class have no table.
    fn unlisted<'a>(&'a self, recipient: &'a str) -> Fut<'a, Result<Option<Unlisted>, RouteError>>;
}
