//! The router's snapshot of main.cf.

use crate::rewrite::RewriteRules;
use base_conf::{Config, Error, computed};
use base_tables::{DomainForms, Maps, MatchKind, MatchList, Tables, Usage};
use std::net::IpAddr;

/// A transport with an optional next hop, as `local_transport` and a transport(5) table write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Service name; empty where a table leaves it as it is.
    pub transport: String,
    /// Next hop; empty for the recipient's domain.
    pub nexthop: String,
}

impl Hop {
    /// Splits at the first colon; without one it is all transport.
    pub fn parse(text: &str) -> Self {
        let (transport, nexthop) = text.split_once(':').unwrap_or((text, ""));
        Self { transport: transport.trim().to_owned(), nexthop: nexthop.trim().to_owned() }
    }
}

/// Everything routing depends on.
pub struct RouteConfig {
    pub(crate) rewrite: RewriteRules,
    pub(crate) syslog_name: String,
    pub(crate) myhostname: String,
    pub(crate) myorigin: String,
    pub(crate) empty_address_recipient: String,
    pub(crate) double_bounce_sender: String,
    pub(crate) recipient_delimiter: String,
    pub(crate) resolve_dequoted_address: bool,
    pub(crate) resolve_null_domain: bool,
    pub(crate) resolve_numeric_domain: bool,
    pub(crate) allow_min_user: bool,
    pub(crate) own_addresses: Vec<IpAddr>,
    pub(crate) mydestination: MatchList,
    pub(crate) virtual_alias_domains: MatchList,
    pub(crate) virtual_mailbox_domains: MatchList,
    pub(crate) relay_domains: MatchList,
    pub(crate) local_transport: Hop,
    pub(crate) virtual_transport: Hop,
    pub(crate) relay_transport: Hop,
    pub(crate) default_transport: Hop,
    pub(crate) relayhost: String,
    pub(crate) transport_maps: Maps,
    pub(crate) transport_parents: DomainForms,
    pub(crate) sender_relayhost_maps: Maps,
    pub(crate) sender_transport_maps: Maps,
    pub(crate) relocated_maps: Maps,
    pub(crate) relocated_prefix: bool,
    pub(crate) sender_null_relayhost_key: String,
    pub(crate) sender_null_transport_key: String,
    pub(crate) virtual_alias_maps: Maps,
    pub(crate) canonical_maps: Maps,
    pub(crate) recipient_canonical_maps: Maps,
    pub(crate) local_recipient_maps: Maps,
    pub(crate) virtual_mailbox_maps: Maps,
    pub(crate) relay_recipient_maps: Maps,
    pub(crate) show_virtual_table: bool,
}

impl RouteConfig {
    /// Reads the parameters of trivial-rewrite(8) and those of the recipient tables.
    pub fn from_config(cfg: &Config, tables: &Tables) -> Result<Self, Error> {
        let maps = |name: &str| Ok::<_, Error>(Maps::open_for(tables, name, &cfg.str(name)?, Usage::LOOKUP));
        let parents = cfg.list("parent_domain_matches_subdomains")?;
        let has_parents = |name: &str| parents.iter().any(|p| p.eq_ignore_ascii_case(name));
        let list = |name: &str| {
            let text = cfg.str(name)?;
            Ok::<_, Error>(MatchList::open(tables, name, &text, MatchKind::Domain, has_parents(name)))
        };
        let hop = |name: &str| Ok::<_, Error>(Hop::parse(&cfg.str(name)?));
        let mut own: Vec<IpAddr> = computed::own_addresses(cfg)?.into_iter().map(|(a, _)| a).collect();
        own.extend(computed::proxy_addresses(cfg)?);
        Ok(Self {
            rewrite: RewriteRules::from_config(cfg)?,
            syslog_name: cfg.str("syslog_name")?,
            myhostname: cfg.str("myhostname")?,
            myorigin: cfg.str("myorigin")?,
            empty_address_recipient: cfg.str("empty_address_recipient")?,
            double_bounce_sender: cfg.str("double_bounce_sender")?,
            recipient_delimiter: cfg.str("recipient_delimiter")?,
            resolve_dequoted_address: cfg.bool("resolve_dequoted_address")?,
            resolve_null_domain: cfg.bool("resolve_null_domain")?,
            resolve_numeric_domain: cfg.bool("resolve_numeric_domain")?,
            allow_min_user: cfg.bool("allow_min_user")?,
            own_addresses: own,
            mydestination: list("mydestination")?,
            virtual_alias_domains: list("virtual_alias_domains")?,
            virtual_mailbox_domains: list("virtual_mailbox_domains")?,
            relay_domains: list("relay_domains")?,
            local_transport: hop("local_transport")?,
            virtual_transport: hop("virtual_transport")?,
            relay_transport: hop("relay_transport")?,
            default_transport: hop("default_transport")?,
            relayhost: cfg.str("relayhost")?,
            transport_maps: maps("transport_maps")?,
            transport_parents: if has_parents("transport_maps") {
                DomainForms::Parents
            } else {
                DomainForms::DotParents
            },
            sender_relayhost_maps: maps("sender_dependent_relayhost_maps")?,
            sender_transport_maps: maps("sender_dependent_default_transport_maps")?,
            relocated_maps: maps("relocated_maps")?,
            relocated_prefix: cfg.bool("relocated_prefix_enable")?,
            sender_null_relayhost_key: cfg.str("empty_address_relayhost_maps_lookup_key")?,
            sender_null_transport_key: cfg.str("empty_address_default_transport_maps_lookup_key")?,
            virtual_alias_maps: maps("virtual_alias_maps")?,
            canonical_maps: maps("canonical_maps")?,
            recipient_canonical_maps: maps("recipient_canonical_maps")?,
            show_virtual_table: cfg.bool("show_user_unknown_table_name")?,
            local_recipient_maps: maps("local_recipient_maps")?,
            virtual_mailbox_maps: maps("virtual_mailbox_maps")?,
            relay_recipient_maps: maps("relay_recipient_maps")?,
        })
    }
}
