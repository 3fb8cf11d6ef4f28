//! The snapshot of everything that routing reads from main.cf.

use crate::{rewrite::Rules, way::WayConfig};
use base_conf::{Config, Error, computed};
use std::net::IpAddr;

/// The parameters of trivial-rewrite(8), checked.
#[derive(Debug, Clone)]
pub struct RouteConfig {
    pub(crate) local_rules: Rules,
    pub(crate) remote_rules: Rules,
    pub(crate) myhostname: String,
    pub(crate) empty_address_recipient: String,
    pub(crate) resolve_dequoted: bool,
    pub(crate) resolve_null_domain: bool,
    pub(crate) resolve_numeric_domain: bool,
    pub(crate) allow_min_user: bool,
    pub(crate) show_table_name: bool,
    pub(crate) recipient_delimiter: String,
    pub(crate) own_addresses: Vec<IpAddr>,
    pub(crate) myorigin: String,
    pub(crate) mydestination: String,
    pub(crate) virtual_alias_domains: String,
    pub(crate) virtual_mailbox_domains: String,
    pub(crate) relay_domains: String,
    pub(crate) relay_parents: bool,
    pub(crate) transport_parents: bool,
    pub(crate) relocated_maps: String,
    pub(crate) relocated_prefix: bool,
    pub(crate) null_relayhost_key: String,
    pub(crate) null_transport_key: String,
    pub(crate) mail: WayConfig,
    pub(crate) probes: WayConfig,
    pub(crate) local_recipient_maps: String,
    pub(crate) relay_recipient_maps: String,
    pub(crate) virtual_alias_maps: String,
    pub(crate) virtual_mailbox_maps: String,
    pub(crate) canonical_maps: String,
    pub(crate) recipient_canonical_maps: String,
    pub(crate) double_bounce: String,
    pub(crate) main_cf: String,
}

impl RouteConfig {
    /// Reads the parameters.
    pub fn from_config(cfg: &Config) -> Result<Self, Error> {
        let parents = cfg.list("parent_domain_matches_subdomains")?;
        let local_rules = local_rules(cfg)?;
        Ok(Self {
            remote_rules: remote_rules(cfg, &local_rules)?,
            local_rules,
            myhostname: cfg.str("myhostname")?,
            empty_address_recipient: cfg.str("empty_address_recipient")?,
            resolve_dequoted: cfg.bool("resolve_dequoted_address")?,
            resolve_null_domain: cfg.bool("resolve_null_domain")?,
            resolve_numeric_domain: cfg.bool("resolve_numeric_domain")?,
            allow_min_user: cfg.bool("allow_min_user")?,
            show_table_name: cfg.bool("show_user_unknown_table_name")?,
            recipient_delimiter: cfg.str("recipient_delimiter")?,
            own_addresses: own_addresses(cfg)?,
            myorigin: computed::myorigin(cfg)?,
            mydestination: cfg.str("mydestination")?,
            virtual_alias_domains: cfg.str("virtual_alias_domains")?,
            virtual_mailbox_domains: cfg.str("virtual_mailbox_domains")?,
            relay_domains: cfg.str("relay_domains")?,
            relay_parents: parents.iter().any(|p| p == "relay_domains"),
            transport_parents: parents.iter().any(|p| p == "transport_maps"),
            relocated_maps: cfg.str("relocated_maps")?,
            relocated_prefix: cfg.bool("relocated_prefix_enable")?,
            null_relayhost_key: cfg.str("empty_address_relayhost_maps_lookup_key")?,
            null_transport_key: cfg.str("empty_address_default_transport_maps_lookup_key")?,
            mail: WayConfig::new(cfg, "")?,
            probes: WayConfig::new(cfg, crate::PROBES)?,
            local_recipient_maps: cfg.str("local_recipient_maps")?,
            relay_recipient_maps: cfg.str("relay_recipient_maps")?,
            virtual_alias_maps: cfg.str("virtual_alias_maps")?,
            virtual_mailbox_maps: cfg.str("virtual_mailbox_maps")?,
            canonical_maps: cfg.str("canonical_maps")?,
            recipient_canonical_maps: cfg.str("recipient_canonical_maps")?,
            double_bounce: cfg.str("double_bounce_sender")?,
            main_cf: cfg.dir().join("main.cf").display().to_string(),
        })
    }
}

fn local_rules(cfg: &Config) -> Result<Rules, Error> {
    Ok(Rules {
        swap_bangpath: cfg.bool("swap_bangpath")?,
        percent_hack: cfg.bool("allow_percent_hack")?,
        origin: if cfg.bool("append_at_myorigin")? { computed::myorigin(cfg)? } else { String::new() },
        domain: if cfg.bool("append_dot_mydomain")? { cfg.str("mydomain")? } else { String::new() },
    })
}

/// `remote_header_rewrite_domain` takes the place of both `myorigin` and `mydomain`, where these are appended at all; empty
/// appends nothing.
fn remote_rules(cfg: &Config, local: &Rules) -> Result<Rules, Error> {
    let domain = cfg.str("remote_header_rewrite_domain")?;
    let instead_of = |own: &str| if own.is_empty() { String::new() } else { domain.clone() };
    Ok(Rules { origin: instead_of(&local.origin), domain: instead_of(&local.domain), ..local.clone() })
}

fn own_addresses(cfg: &Config) -> Result<Vec<IpAddr>, Error> {
    let mut own: Vec<IpAddr> = computed::own_addresses(cfg)?.into_iter().map(|(a, _)| a).collect();
    own.extend(computed::proxy_addresses(cfg)?);
    Ok(own)
}
