//! What postscreen(8) reads from main.cf.

use super::{dnsbl::Site, tls::ScreenTls};
use crate::proxy::Proxy;
use base_conf::{Config, Error};
use mail_restrict::ExpansionFilter;
use proto_smtp::Keywords;
use std::{sync::Arc, time::Duration};

/// What a failed test leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Logged, and repeated the next time.
    Ignore,
    /// Mail is refused; the client may go on talking.
    Enforce,
    /// The connection ends.
    Drop,
}

impl Action {
    fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "enforce" => Self::Enforce,
            "drop" => Self::Drop,
            _ => Self::Ignore,
        }
    }
}

/// One of the tests after the greeting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deep {
    pub(crate) enabled: bool,
    pub(crate) action: Action,
    pub(crate) ttl: Duration,
}

/// Everything of postscreen(8).
#[derive(Debug, Clone)]
pub struct ScreenConfig {
    pub(crate) syslog_name: String,
    /// `smtpd_service_name`.
    pub(crate) smtpd_service: String,
    pub(crate) myhostname: String,
    pub(crate) access_list: Vec<String>,
    pub(crate) mynetworks: String,
    pub(crate) parent_mynetworks: bool,
    pub(crate) denylist_action: Action,
    pub(crate) allowlist_interfaces: String,
    pub(crate) cache_map: String,
    pub(crate) retention: Duration,
    pub(crate) cleanup_interval: Duration,
    /// `postscreen_greet_banner`; empty: nobody is tested for patience.
    pub(crate) banner: String,
    /// `smtpd_banner`.
    pub(crate) last_banner: String,
    /// Usually, and under stress.
    pub(crate) greet_wait: (Duration, Duration),
    pub(crate) greet_action: Action,
    pub(crate) greet_ttl: Duration,
    pub(crate) dnsbl_sites: Vec<Site>,
    pub(crate) dnsbl_action: Action,
    pub(crate) dnsbl_threshold: i64,
    pub(crate) dnsbl_allow_threshold: i64,
    pub(crate) dnsbl_timeout: Duration,
    pub(crate) dnsbl_ttl: (Duration, Duration),
    pub(crate) dnsbl_reply_map: String,
    pub(crate) pipelining: Deep,
    pub(crate) non_smtp: Deep,
    pub(crate) bare_newline: Deep,
    pub(crate) forbidden_commands: String,
    /// Usually, and under stress.
    pub(crate) command_time_limit: (Duration, Duration),
    pub(crate) command_filter: String,
    pub(crate) footer: String,
    pub(crate) expansion_filter: ExpansionFilter,
    pub(crate) footer_maps: String,
    pub(crate) helo_required: bool,
    pub(crate) command_count_limit: u32,
    pub(crate) connection_limit: u32,
    pub(crate) pre_queue_limit: u32,
    pub(crate) post_queue_limit: u32,
    /// `smtpd_client_ipv4_prefix_length`, `smtpd_client_ipv6_prefix_length`.
    pub(crate) prefixes: (u8, u8),
    pub(crate) size_limit: u64,
    pub(crate) discarded: Keywords,
    pub(crate) discard_maps: String,
    pub(crate) disable_vrfy: bool,
    pub(crate) smtputf8: bool,
    pub(crate) line_limit: usize,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) tls: Arc<ScreenTls>,
}

impl ScreenConfig {
    /// Reads the parameters of one postscreen service.
    pub fn from_config(cfg: &Config) -> Result<Self, Error> {
        let action = |name: &str| cfg.str(name).map(|t| Action::parse(&t));
        let count = |name: &str| cfg.int(name).map(|n| u32::try_from(n).unwrap_or(0));
        let deep = |[enable, name, ttl]: [&str; 3]| -> Result<Deep, Error> {
            Ok(Deep { enabled: cfg.bool(enable)?, action: action(name)?, ttl: cfg.time(ttl)? })
        };
        let stressed = cfg.with([("stress".to_owned(), "yes".to_owned())]);
        let both = |name: &str| Ok::<_, Error>((cfg.time(name)?, stressed.time(name)?));
        let discarded = cfg.str("postscreen_discard_ehlo_keywords")?;
        Ok(Self {
            syslog_name: cfg.str("syslog_name")?,
            smtpd_service: cfg.str("smtpd_service_name")?,
            myhostname: cfg.str("myhostname")?,
            access_list: cfg.list("postscreen_access_list")?,
            mynetworks: cfg.str("mynetworks")?,
            parent_mynetworks: cfg
                .list("parent_domain_matches_subdomains")?
                .iter()
                .any(|p| p == "mynetworks"),
            denylist_action: action("postscreen_denylist_action")?,
            allowlist_interfaces: cfg.str("postscreen_allowlist_interfaces")?,
            cache_map: cfg.str("postscreen_cache_map")?,
            retention: cfg.time("postscreen_cache_retention_time")?,
            cleanup_interval: cfg.time("postscreen_cache_cleanup_interval")?,
            banner: cfg.str("postscreen_greet_banner")?,
            last_banner: cfg.str("smtpd_banner")?,
            greet_wait: both("postscreen_greet_wait")?,
            greet_action: action("postscreen_greet_action")?,
            greet_ttl: cfg.time("postscreen_greet_ttl")?,
            dnsbl_sites: cfg.list("postscreen_dnsbl_sites")?.iter().filter_map(|s| Site::parse(s)).collect(),
            dnsbl_action: action("postscreen_dnsbl_action")?,
            dnsbl_threshold: cfg.int("postscreen_dnsbl_threshold")?,
            dnsbl_allow_threshold: cfg.int("postscreen_dnsbl_allowlist_threshold")?,
            dnsbl_timeout: cfg.time("postscreen_dnsbl_timeout")?,
            dnsbl_ttl: (cfg.time("postscreen_dnsbl_min_ttl")?, cfg.time("postscreen_dnsbl_max_ttl")?),
            dnsbl_reply_map: cfg.str("postscreen_dnsbl_reply_map")?,
            pipelining: deep([
                "postscreen_pipelining_enable",
                "postscreen_pipelining_action",
                "postscreen_pipelining_ttl",
            ])?,
            non_smtp: deep([
                "postscreen_non_smtp_command_enable",
                "postscreen_non_smtp_command_action",
                "postscreen_non_smtp_command_ttl",
            ])?,
            bare_newline: deep([
                "postscreen_bare_newline_enable",
                "postscreen_bare_newline_action",
                "postscreen_bare_newline_ttl",
            ])?,
            forbidden_commands: cfg.str("postscreen_forbidden_commands")?,
            command_time_limit: both("postscreen_command_time_limit")?,
            command_filter: cfg.str("postscreen_command_filter")?,
            footer: raw(cfg, "postscreen_reject_footer", "smtpd_reject_footer"),
            expansion_filter: ExpansionFilter::parse(&raw(
                cfg,
                "postscreen_expansion_filter",
                "smtpd_expansion_filter",
            )),
            footer_maps: cfg.str("postscreen_reject_footer_maps")?,
            helo_required: cfg.bool("postscreen_helo_required")?,
            command_count_limit: count("postscreen_command_count_limit")?,
            connection_limit: count("postscreen_client_connection_count_limit")?,
            pre_queue_limit: count("postscreen_pre_queue_limit")?,
            post_queue_limit: count("postscreen_post_queue_limit")?,
            prefixes: crate::config::prefixes(cfg)?,
            size_limit: u64::try_from(cfg.int("message_size_limit")?).unwrap_or(0),
            discarded: Keywords::parse_discard(&discarded).unwrap_or_default(),
            discard_maps: cfg.str("postscreen_discard_ehlo_keyword_address_maps")?,
            disable_vrfy: cfg.bool("postscreen_disable_vrfy_command")?,
            smtputf8: cfg.bool("smtputf8_enable")?,
            line_limit: usize::try_from(cfg.int("line_length_limit")?).unwrap_or(2048).clamp(512, 1 << 20),
            proxy: Proxy::from_config(
                cfg,
                "postscreen_upstream_proxy_protocol",
                "postscreen_upstream_proxy_timeout",
            )?,
            tls: Arc::new(ScreenTls::from_config(cfg)?),
        })
    }
}

/// A text as it stands in main.cf, since `$client_address` and the like are known in a session only; by default smtpd's.
fn raw(cfg: &Config, name: &str, of_smtpd: &str) -> String {
    let own = cfg.raw(name).unwrap_or_default();
    match own.trim().strip_prefix('$') {
        Some(default) if default == of_smtpd => cfg.raw(of_smtpd).unwrap_or_default(),
        _ => own,
    }
}
