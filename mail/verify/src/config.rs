//! The parameters of verify(8).

use base_conf::{Config, Error};
use std::time::Duration;

/// A snapshot.
#[derive(Debug, Clone)]
pub struct VerifyConfig {
    pub(crate) syslog_name: String,
    /// `address_verify_map`.
    pub map: String,
    /// `address_verify_sender`; empty for the null sender.
    pub(crate) sender: String,
    /// `address_verify_sender_ttl`.
    pub(crate) sender_ttl: Duration,
    pub(crate) positive_expire: u64,
    pub(crate) positive_refresh: u64,
    pub(crate) negative_cache: bool,
    pub(crate) negative_expire: u64,
    pub(crate) negative_refresh: u64,
    pub(crate) cleanup_interval: Duration,
    /// `address_verify_pending_request_limit`.
    pub(crate) pending_limit: usize,
    pub(crate) myhostname: String,
    pub(crate) mail_name: String,
    /// `smtputf8_autodetect_classes` has `verify`.
    pub(crate) detects_utf8: bool,
}

impl VerifyConfig {
    /// Reads the parameters.
    pub fn from_config(c: &Config) -> Result<Self, Error> {
        let seconds = |name: &str| c.time(name).map(|t| t.as_secs());
        let sender = c.str("address_verify_sender")?;
        let classes = c.list("smtputf8_autodetect_classes")?;
        Ok(Self {
            syslog_name: c.str("syslog_name")?,
            map: c.str("address_verify_map")?,
            sender: if sender == "<>" { String::new() } else { sender },
            sender_ttl: c.time("address_verify_sender_ttl")?,
            positive_expire: seconds("address_verify_positive_expire_time")?,
            positive_refresh: seconds("address_verify_positive_refresh_time")?,
            negative_cache: c.bool("address_verify_negative_cache")?,
            negative_expire: seconds("address_verify_negative_expire_time")?,
            negative_refresh: seconds("address_verify_negative_refresh_time")?,
            cleanup_interval: c.time("address_verify_cache_cleanup_interval")?,
            pending_limit: usize::try_from(c.int("address_verify_pending_request_limit")?)
                .unwrap_or(1)
                .max(1),
            myhostname: c.str("myhostname")?,
            mail_name: c.str("mail_name")?,
            detects_utf8: c.bool("smtputf8_enable")? && classes.iter().any(|w| w == "verify" || w == "all"),
        })
    }
}
