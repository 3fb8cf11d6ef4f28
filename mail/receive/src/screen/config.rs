//! What postscreen(8) reads from main.cf.

use super::dnsbl::Site;
use base_conf::{Config, Error};
use proto_smtp::Keywords;
use std::time::Duration;

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
    pub(crate) myhostname: String,
    pub(crate) access_list: Vec<String>,
    pub(crate) mynetworks: String,
    pub(crate) parent_mynetworks: bool,
    pub(crate) denylist_action: Action,
    pub(crate) allowlist_interfaces: String,
    pub(crate) cache_map: String,
    pub(crate) retention: Duration,
    pub(crate) cleanup_interval: Duration,
    pub(crate) banner: String,
    pub(crate) greet_wait: Duration,
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
    pub(crate) command_time_limit: Duration,
    pub(crate) command_count_limit: u32,
    pub(crate) connection_limit: u32,
    pub(crate) pre_queue_limit: u32,
    pub(crate) size_limit: u64,
    pub(crate) discarded: Keywords,
    pub(crate) disable_vrfy: bool,
    pub(crate) line_limit: usize,
}

impl ScreenConfig {
    /// Reads the parameters of one postscreen service.
    pub fn from_config(cfg: &Config) -> Result<Self, Error> {
        let action = |name: &str| cfg.str(name).map(|t| Action::parse(&t));
        let count = |name: &str| cfg.int(name).map(|n| u32::try_from(n).unwrap_or(0));
        let deep = |name: &str| -> Result<Deep, Error> {
            Ok(Deep {
                enabled: cfg.bool(&format!("postscreen_{name}_enable"))?,
                action: action(&format!("postscreen_{name}_action"))?,
                ttl: cfg.time(&format!("postscreen_{name}_ttl"))?,
            })
        };
        let discarded = cfg.str("postscreen_discard_ehlo_keywords")?;
        Ok(Self {
            syslog_name: cfg.str("syslog_name")?,
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
            greet_wait: cfg.time("postscreen_greet_wait")?,
            greet_action: action("postscreen_greet_action")?,
            greet_ttl: cfg.time("postscreen_greet_ttl")?,
            dnsbl_sites: cfg.list("postscreen_dnsbl_sites")?.iter().filter_map(|s| Site::parse(s)).collect(),
            dnsbl_action: action("postscreen_dnsbl_action")?,
            dnsbl_threshold: cfg.int("postscreen_dnsbl_threshold")?,
            dnsbl_allow_threshold: cfg.int("postscreen_dnsbl_allowlist_threshold")?,
            dnsbl_timeout: cfg.time("postscreen_dnsbl_timeout")?,
            dnsbl_ttl: (cfg.time("postscreen_dnsbl_min_ttl")?, cfg.time("postscreen_dnsbl_max_ttl")?),
            dnsbl_reply_map: cfg.str("postscreen_dnsbl_reply_map")?,
            pipelining: deep("pipelining")?,
            non_smtp: deep("non_smtp_command")?,
            bare_newline: deep("bare_newline")?,
            forbidden_commands: cfg.str("postscreen_forbidden_commands")?,
            command_time_limit: cfg.time("postscreen_command_time_limit")?,
            command_count_limit: count("postscreen_command_count_limit")?,
            connection_limit: count("postscreen_client_connection_count_limit")?,
            pre_queue_limit: count("postscreen_pre_queue_limit")?,
            size_limit: u64::try_from(cfg.int("message_size_limit")?).unwrap_or(0),
            discarded: Keywords::parse_discard(&discarded).unwrap_or_default(),
            disable_vrfy: cfg.bool("postscreen_disable_vrfy_command")?,
            line_limit: usize::try_from(cfg.int("line_length_limit")?).unwrap_or(2048).clamp(512, 1 << 20),
        })
    }
}
