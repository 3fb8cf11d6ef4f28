//! The typed snapshot of everything that restrictions read from main.cf.

use crate::{
    dnslist::DnsConfig,
    greylist::GreylistConfig,
    list::ListName,
    policy::Manner,
    rules::unverified::{self, Unverified},
};
use base_conf::{Config, Error};
use base_tables::{DomainForms, Maps, MatchKind, MatchList, Tables};
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// Reply codes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the parameter of its name")]
pub struct Codes {
    pub access_map_defer: u16,
    pub access_map_reject: u16,
    pub defer: u16,
    pub invalid_hostname: u16,
    pub multi_recipient_bounce: u16,
    pub non_fqdn: u16,
    pub plaintext: u16,
    pub reject: u16,
    pub relay_domains: u16,
    pub unknown_address: u16,
    pub unknown_client: u16,
    pub unknown_hostname: u16,
    pub unknown_local_recipient: u16,
    pub unknown_relay_recipient: u16,
    pub unknown_virtual_alias: u16,
    pub unknown_virtual_mailbox: u16,
}

/// What a failed lookup means (`*_tempfail_action`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TempfailAction {
    /// `defer`
    Defer,
    /// `defer_if_permit`
    DeferIfPermit,
}

/// Everything about restrictions.
#[derive(Debug, Clone)]
pub struct RestrictConfig {
    /// The texts of the eight lists.
    pub lists: Vec<(ListName, Vec<String>)>,
    /// Restriction classes and their texts.
    pub classes: Vec<(String, Vec<String>)>,
    /// Reply codes.
    pub codes: Codes,
    /// `smtpd_delay_reject`.
    pub delay_reject: bool,
    /// `smtpd_relay_before_recipient_restrictions`.
    pub relay_first: bool,
    /// `smtpd_reject_unlisted_recipient`.
    pub unlisted_recipient: bool,
    /// `smtpd_reject_unlisted_sender`.
    pub unlisted_sender: bool,
    /// `show_user_unknown_table_name`.
    pub show_table_name: bool,
    /// `soft_bounce`.
    pub soft_bounce: bool,
    /// `smtpd_null_access_lookup_key`.
    pub null_key: String,
    /// `recipient_delimiter`.
    pub delimiter: String,
    /// `owner_request_special`.
    pub owner_special: bool,
    /// `allow_untrusted_routing`.
    pub(crate) untrusted_routing: bool,
    /// How parent domains are looked up in access tables.
    pub parents: DomainForms,
    /// `myhostname`.
    pub(crate) myhostname: String,
    /// `mynetworks`.
    pub mynetworks: String,
    /// The addresses of `inet_interfaces`.
    pub own_addresses: Vec<IpAddr>,
    /// `unknown_address_tempfail_action`.
    pub unknown_address_tempfail: TempfailAction,
    /// `unknown_helo_hostname_tempfail_action`.
    pub unknown_helo_tempfail: TempfailAction,
    /// All of `mynetworks` are addresses: no name is needed to tell.
    pub(crate) numeric_mynetworks: bool,
    pub(crate) dns: DnsConfig,
    pub(crate) policy: Manner,
    pub(crate) greylist: GreylistConfig,
    pub(crate) unverified_sender: Unverified,
    pub(crate) unverified_recipient: Unverified,
    /// How long a session waits for a probe: usually, and under stress.
    pub(crate) verify_patience: (Duration, Duration),
    pub(crate) queue_directory: PathBuf,
    pub(crate) compatibility_level: String,
    pub(crate) mail_version: String,
    texts: Texts,
    parent_mynetworks: bool,
    /// `smtpd_log_access_permit_actions`.
    log_permits: String,
    /// Lists in access tables are reduced to what decides who may relay, too: no name server is asked.
    pub(crate) only_relay: bool,
}

/// Tables and match lists as configured.
#[derive(Debug, Clone)]
struct Texts {
    login_maps: String,
    mx_backup_networks: String,
    relay_clientcerts: String,
    parent_mx_backup: bool,
}

impl RestrictConfig {
    /// Reads the parameters of one smtpd service.
    pub fn from_config(cfg: &Config) -> Result<Self, Error> {
        let mut lists = Vec::new();
        for name in ListName::ALL {
            lists.push((name, cfg.list(name.parameter())?));
        }
        let mut classes = Vec::new();
        for class in cfg.list("smtpd_restriction_classes")? {
            let text = cfg.raw(&class).unwrap_or_default();
            let text = cfg.expand(&text)?;
            classes.push((class, base_conf::list::split(&text).into_iter().map(str::to_owned).collect()));
        }
        let parents = cfg.list("parent_domain_matches_subdomains")?;
        let has = |name: &str| parents.iter().any(|p| p == name);
        Ok(Self {
            lists,
            classes,
            codes: Codes::from_config(cfg)?,
            delay_reject: cfg.bool("smtpd_delay_reject")?,
            relay_first: cfg.bool("smtpd_relay_before_recipient_restrictions")?,
            unlisted_recipient: cfg.bool("smtpd_reject_unlisted_recipient")?,
            unlisted_sender: cfg.bool("smtpd_reject_unlisted_sender")?,
            show_table_name: cfg.bool("show_user_unknown_table_name")?,
            soft_bounce: cfg.bool("soft_bounce")?,
            untrusted_routing: cfg.bool("allow_untrusted_routing")?,
            null_key: cfg.str("smtpd_null_access_lookup_key")?,
            delimiter: cfg.str("recipient_delimiter")?,
            owner_special: cfg.bool("owner_request_special")?,
            parents: if has("smtpd_access_maps") { DomainForms::Parents } else { DomainForms::DotParents },
            myhostname: cfg.str("myhostname")?,
            mynetworks: cfg.str("mynetworks")?,
            parent_mynetworks: has("mynetworks"),
            numeric_mynetworks: cfg.list("mynetworks")?.iter().all(|word| is_numeric(word)),
            dns: DnsConfig::from_config(cfg)?,
            policy: Manner::from_config(cfg)?,
            greylist: GreylistConfig::from_config(cfg)?,
            unverified_sender: Unverified::from_config(cfg, "sender")?,
            unverified_recipient: Unverified::from_config(cfg, "recipient")?,
            verify_patience: (
                unverified::patience(cfg)?,
                unverified::patience(&cfg.with([("stress".to_owned(), "yes".to_owned())]))?,
            ),
            queue_directory: cfg.str("queue_directory")?.into(),
            compatibility_level: cfg.str("compatibility_level")?,
            mail_version: cfg.str("mail_version")?,
            texts: Texts {
                login_maps: cfg.str("smtpd_sender_login_maps")?,
                mx_backup_networks: cfg.str("permit_mx_backup_networks")?,
                relay_clientcerts: cfg.str("relay_clientcerts")?,
                parent_mx_backup: has("permit_mx_backup_networks"),
            },
            own_addresses: own_addresses(cfg),
            log_permits: cfg.str("smtpd_log_access_permit_actions")?,
            only_relay: false,
            unknown_address_tempfail: tempfail(&cfg.str("unknown_address_tempfail_action")?),
            unknown_helo_tempfail: tempfail(&cfg.str("unknown_helo_hostname_tempfail_action")?),
        })
    }

    /// The words of a list.
    pub fn list(&self, name: ListName) -> &[String] {
        self.lists.iter().find(|(n, _)| *n == name).map_or(&[], |(_, words)| words)
    }

    /// The words of a class.
    pub fn class(&self, name: &str) -> Option<&[String]> {
        self.classes.iter().find(|(n, _)| n == name).map(|(_, words)| words.as_slice())
    }
}

/// Names that cannot be resolved are the listener's trouble: here they are nobody.
fn own_addresses(cfg: &Config) -> Vec<IpAddr> {
    base_conf::computed::own_addresses(cfg).unwrap_or_default().into_iter().map(|(a, _)| a).collect()
}

/// `192.0.2.0/24`, `[2001:db8::]/32`, maybe with `!` in front.
fn is_numeric(word: &str) -> bool {
    let address = word.trim_start_matches('!').split('/').next().unwrap_or_default();
    address.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

pub(crate) fn tempfail(text: &str) -> TempfailAction {
    if text == "defer" { TempfailAction::Defer } else { TempfailAction::DeferIfPermit }
}

pub(crate) fn code(cfg: &Config, name: &str) -> Result<u16, Error> {
    Ok(u16::try_from(cfg.int(name)?).unwrap_or(451).clamp(200, 599))
}

impl Codes {
    fn from_config(cfg: &Config) -> Result<Self, Error> {
        Ok(Self {
            access_map_defer: code(cfg, "access_map_defer_code")?,
            access_map_reject: code(cfg, "access_map_reject_code")?,
            defer: code(cfg, "defer_code")?,
            invalid_hostname: code(cfg, "invalid_hostname_reject_code")?,
            multi_recipient_bounce: code(cfg, "multi_recipient_bounce_reject_code")?,
            non_fqdn: code(cfg, "non_fqdn_reject_code")?,
            plaintext: code(cfg, "plaintext_reject_code")?,
            reject: code(cfg, "reject_code")?,
            relay_domains: code(cfg, "relay_domains_reject_code")?,
            unknown_address: code(cfg, "unknown_address_reject_code")?,
            unknown_client: code(cfg, "unknown_client_reject_code")?,
            unknown_hostname: code(cfg, "unknown_hostname_reject_code")?,
            unknown_local_recipient: code(cfg, "unknown_local_recipient_reject_code")?,
            unknown_relay_recipient: code(cfg, "unknown_relay_recipient_reject_code")?,
            unknown_virtual_alias: code(cfg, "unknown_virtual_alias_reject_code")?,
            unknown_virtual_mailbox: code(cfg, "unknown_virtual_mailbox_reject_code")?,
        })
    }
}

/// The match lists and tables that restrictions ask.
pub(crate) struct Matches {
    pub(crate) mynetworks: MatchList,
    pub(crate) log_permits: MatchList,
    pub(crate) mx_backup_networks: MatchList,
    pub(crate) greylist_clients: MatchList,
    pub(crate) greylist_recipients: MatchList,
    pub(crate) login_maps: Maps,
    pub(crate) relay_clientcerts: Maps,
    pub(crate) rbl_replies: Maps,
}

impl Matches {
    pub(crate) fn open(c: &RestrictConfig, tables: &Tables) -> Self {
        let host =
            |name: &str, text: &str, parents| MatchList::open(tables, name, text, MatchKind::Host, parents);
        let maps = |name: &str, text: &str| Maps::open(tables, name, text);
        let permits = "smtpd_log_access_permit_actions";
        let t = &c.texts;
        Self {
            mynetworks: host("mynetworks", &c.mynetworks, c.parent_mynetworks),
            log_permits: MatchList::open(tables, permits, &c.log_permits, MatchKind::String, false),
            mx_backup_networks: host("permit_mx_backup_networks", &t.mx_backup_networks, t.parent_mx_backup),
            greylist_clients: host("greylist_client_exceptions", &c.greylist.client_exceptions, true),
            greylist_recipients: MatchList::open(
                tables,
                "greylist_recipient_exceptions",
                &c.greylist.recipient_exceptions,
                MatchKind::Domain,
                true,
            ),
            login_maps: maps("smtpd_sender_login_maps", &t.login_maps),
            relay_clientcerts: maps("relay_clientcerts", &t.relay_clientcerts),
            rbl_replies: maps("rbl_reply_maps", &c.dns.reply_maps),
        }
    }
}

/// Default codes, for tests.
#[cfg(test)]
pub(crate) fn tests_codes() -> Codes {
    Codes::from_config(&Config::from_text("")).unwrap_or_else(|e| panic!("{e}"))
}
