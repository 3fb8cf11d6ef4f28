//! What DNS lists read from main.cf.

use super::DnsList;
use crate::template::ExpansionFilter;
use base_conf::{Config, Error};

/// `default_rbl_reply` and its relatives.
#[derive(Debug, Clone)]
pub(crate) struct DnsConfig {
    /// `maps_rbl_reject_code`.
    pub(crate) reject_code: u16,
    /// `default_rbl_reply`.
    pub(crate) default_reply: String,
    /// `rbl_reply_maps`.
    pub(crate) reply_maps: String,
    /// `smtpd_expansion_filter`.
    pub(crate) expansion_filter: ExpansionFilter,
    /// `maps_rbl_domains`.
    pub(crate) old_lists: Vec<DnsList>,
}

impl DnsConfig {
    pub(crate) fn from_config(cfg: &Config) -> Result<Self, Error> {
        Ok(Self {
            reject_code: crate::config::code(cfg, "maps_rbl_reject_code")?,
            default_reply: cfg.raw("default_rbl_reply").unwrap_or_default(),
            reply_maps: cfg.str("rbl_reply_maps")?,
            expansion_filter: ExpansionFilter::parse(&cfg.raw("smtpd_expansion_filter").unwrap_or_default()),
            old_lists: cfg.list("maps_rbl_domains")?.iter().filter_map(|l| DnsList::parse(l)).collect(),
        })
    }
}
