//! What DNS lists read from main.cf.

use super::DnsList;
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
    /// `smtpd_expansion_filter`, its escapes resolved.
    pub(crate) expansion_filter: String,
    /// `maps_rbl_domains`.
    pub(crate) old_lists: Vec<DnsList>,
}

impl DnsConfig {
    pub(crate) fn from_config(cfg: &Config) -> Result<Self, Error> {
        Ok(Self {
            reject_code: crate::config::code(cfg, "maps_rbl_reject_code")?,
            default_reply: cfg.raw("default_rbl_reply").unwrap_or_default(),
            reply_maps: cfg.str("rbl_reply_maps")?,
            expansion_filter: unescaped(&cfg.raw("smtpd_expansion_filter").unwrap_or_default()),
            old_lists: cfg.list("maps_rbl_domains")?.iter().filter_map(|l| DnsList::parse(l)).collect(),
        })
    }
}

/// `\t`, `\40`, `\\` …
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let mut octal = String::new();
        while let Some(d) = chars.next_if(|d| octal.len() < 3 && d.is_digit(8)) {
            octal.push(d);
        }
        match u8::from_str_radix(&octal, 8) {
            Ok(byte) => out.push(char::from(byte)),
            Err(_) => out.extend(chars.next().map(|c| match c {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                other => other,
            })),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(unescaped(r"\t\40!\\]\n"), "\t !\\]\n");
    }
}
