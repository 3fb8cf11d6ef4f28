//! What a text parameter may hold, beyond its [`Kind`](crate::params::Kind): words, codes, tables, lists of hosts.
//!
//! Read by the configuration check (mail/check) and by whoever wants to know which parameters name tables or transports.
//! A parameter without an entry holds any text. Nothing is refused because of this data: the stages read their
//! parameters themselves. Facts of postconf(5); sorted by name; `smtp_` entries hold for `lmtp_` too.

/// The grammar of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// One of these words, or nothing.
    MaybeWord(&'static [&'static str]),
    /// A list of these words.
    Words(&'static [&'static str]),
    /// A list of TLS protocol names: `!SSLv2`, `>=TLSv1.2`, `TLSv1.3`.
    Protocols,
    /// A three-digit SMTP reply code.
    Code,
    /// `type:table`, several where the parameter takes a list.
    Tables,
    /// Patterns, `!pattern`, `/file`, `type:table`: names of hosts or domains.
    Domains,
    /// The same with addresses and networks.
    Networks,
    /// Restrictions of the SMTP server.
    Restrictions,
    /// A file that the server reads.
    File,
    /// `transport:nexthop`, or one part of it.
    Transport,
    /// `host`, `[host]`, `host:port`.
    NextHop,
    /// Interface names of `inet_interfaces`.
    Interfaces,
    /// One domain or host name.
    Domain,
    /// A table type.
    TableType,
    /// A command line for a shell.
    Command,
}

use Grammar::{
    Code, Command, Domain, Domains, File, Interfaces, MaybeWord, Networks, NextHop, Protocols, Restrictions,
    TableType, Tables, Transport, Word, Words,
};

const SASL_OPTIONS: &[&str] =
    &["noplaintext", "noactive", "nodictionary", "noanonymous", "forward_secrecy", "mutual_auth"];
const ADDRESS_PLACES: &[&str] =
    &["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"];
const LOCKS: &[&str] = &["flock", "fcntl", "dotlock"];
const TEMPFAIL: &[&str] = &["defer", "defer_if_permit"];
const SCREEN: &[&str] = &["ignore", "enforce", "drop"];
const CIPHERS: &[&str] = &["export", "low", "medium", "high", "null"];
const SERVER_TLS: &[&str] = &["none", "may", "encrypt"];
const CLIENT_TLS: &[&str] =
    &["none", "may", "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure"];
const COMMAND_PLACES: &[&str] = &["alias", "forward", "include"];
const FILTER_PLACES: &[&str] = &["bounce", "notify"];
const EXTENSIONS: &[&str] = &["canonical", "virtual", "alias", "forward", "include", "generic"];
const GRADES: &[&str] = &["none", "strong", "ultra", "auto"];
const KEYWORDS: &[&str] = &[
    "8bitmime",
    "auth",
    "chunking",
    "dsn",
    "enhancedstatuscodes",
    "etrn",
    "pipelining",
    "requiretls",
    "silent-discard",
    "size",
    "smtputf8",
    "starttls",
    "verp",
    "vrfy",
    "xclient",
    "xforward",
];
const QUEUES: &[&str] = &[
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "saved",
    "trace",
];
const FACILITIES: &[&str] = &[
    "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "security", "syslog", "user",
    "uucp", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const ORIGINS: &[&str] = &["sendmail", "smtpd", "qmqpd", "forward", "bounce", "notify", "verify", "all"];

/// Every entry, sorted by name.
#[rustfmt::skip]
pub const GRAMMARS: &[(&str, Grammar)] = &[
    ("access_map_defer_code", Code),
    ("access_map_reject_code", Code),
    ("address_verify_default_transport", Transport),
    ("address_verify_local_transport", Transport),
    ("address_verify_map", Tables),
    ("address_verify_relay_transport", Transport),
    ("address_verify_relayhost", NextHop),
    ("address_verify_virtual_transport", Transport),
    ("alias_database", Tables),
    ("allow_mail_to_commands", Words(COMMAND_PLACES)),
    ("allow_mail_to_files", Words(COMMAND_PLACES)),
    ("authorized_verp_clients", Networks),
    ("body_checks", Tables),
    ("canonical_classes", Words(ADDRESS_PLACES)),
    ("content_filter", Transport),
    ("debug_peer_list", Networks),
    ("debugger_command", Command),
    ("default_cache_db_type", TableType),
    ("default_database_type", TableType),
    ("default_transport", Transport),
    ("defer_code", Code),
    ("fallback_transport", Transport),
    ("fast_flush_domains", Domains),
    ("hash_queue_names", Words(QUEUES)),
    ("header_checks", Tables),
    ("header_from_format", Word(&["standard", "obsolete"])),
    ("inet_interfaces", Interfaces),
    ("inet_protocols", Words(&["all", "ipv4", "ipv6"])),
    ("info_log_address_format", Word(&["internal", "external"])),
    ("internal_mail_filter_classes", Words(FILTER_PLACES)),
    ("invalid_hostname_reject_code", Code),
    ("local_transport", Transport),
    ("mailbox_command", Command),
    ("mailbox_delivery_lock", Words(LOCKS)),
    ("mailbox_transport", Transport),
    ("maps_rbl_reject_code", Code),
    ("masquerade_classes", Words(ADDRESS_PLACES)),
    ("milter_default_action", Word(&["accept", "reject", "tempfail", "quarantine", "shutdown"])),
    ("milter_header_checks", Tables),
    ("milter_protocol", Word(&["2", "3", "4", "6"])),
    ("mime_header_checks", Tables),
    ("multi_recipient_bounce_reject_code", Code),
    ("mydestination", Domains),
    ("mydomain", Domain),
    ("myhostname", Domain),
    ("mynetworks", Networks),
    ("mynetworks_style", Word(&["class", "subnet", "host"])),
    ("myorigin", Domain),
    ("nested_header_checks", Tables),
    ("non_fqdn_reject_code", Code),
    ("notify_classes", Words(&["bounce", "2bounce", "data", "delay", "policy", "protocol", "resource", "software"])),
    ("permit_mx_backup_networks", Networks),
    ("plaintext_reject_code", Code),
    ("postscreen_bare_newline_action", Word(SCREEN)),
    ("postscreen_blacklist_action", Word(SCREEN)),
    ("postscreen_cache_map", Tables),
    ("postscreen_denylist_action", Word(SCREEN)),
    ("postscreen_discard_ehlo_keywords", Words(KEYWORDS)),
    ("postscreen_dnsbl_action", Word(SCREEN)),
    ("postscreen_greet_action", Word(SCREEN)),
    ("postscreen_non_smtp_command_action", Word(SCREEN)),
    ("postscreen_pipelining_action", Word(SCREEN)),
    ("postscreen_tls_security_level", MaybeWord(SERVER_TLS)),
    ("postscreen_upstream_proxy_protocol", MaybeWord(&["haproxy"])),
    ("propagate_unmatched_extensions", Words(EXTENSIONS)),
    ("qmqpd_authorized_clients", Networks),
    ("receive_override_options", Words(&["no_unknown_recipient_checks", "no_address_mappings", "no_header_body_checks", "no_milters"])),
    ("recipient_canonical_classes", Words(ADDRESS_PLACES)),
    ("reject_code", Code),
    ("reject_tempfail_action", Word(TEMPFAIL)),
    ("relay_clientcerts", Tables),
    ("relay_domains", Domains),
    ("relay_domains_reject_code", Code),
    ("relay_transport", Transport),
    ("relayhost", NextHop),
    ("sender_canonical_classes", Words(ADDRESS_PLACES)),
    ("sendmail_fix_line_endings", Word(&["always", "strict", "never"])),
    ("smtp_address_preference", Word(&["any", "ipv4", "ipv6"])),
    ("smtp_body_checks", Tables),
    ("smtp_discard_ehlo_keywords", Words(KEYWORDS)),
    ("smtp_dns_support_level", MaybeWord(&["disabled", "enabled", "dnssec"])),
    ("smtp_header_checks", Tables),
    ("smtp_host_lookup", Words(&["dns", "native"])),
    ("smtp_mime_header_checks", Tables),
    ("smtp_nested_header_checks", Tables),
    ("smtp_sasl_security_options", Words(SASL_OPTIONS)),
    ("smtp_sasl_tls_security_options", Words(SASL_OPTIONS)),
    ("smtp_sasl_tls_verified_security_options", Words(SASL_OPTIONS)),
    ("smtp_sasl_type", Word(&["cyrus"])),
    ("smtp_tls_CAfile", File),
    ("smtp_tls_ciphers", Word(CIPHERS)),
    ("smtp_tls_dane_insecure_mx_policy", Word(&["dane", "encrypt", "may"])),
    ("smtp_tls_mandatory_ciphers", Word(CIPHERS)),
    ("smtp_tls_mandatory_protocols", Protocols),
    ("smtp_tls_protocols", Protocols),
    ("smtp_tls_security_level", MaybeWord(CLIENT_TLS)),
    ("smtp_tls_session_cache_database", Tables),
    ("smtpd_authorized_verp_clients", Networks),
    ("smtpd_authorized_xclient_hosts", Networks),
    ("smtpd_authorized_xforward_hosts", Networks),
    ("smtpd_client_event_limit_exceptions", Networks),
    ("smtpd_client_restrictions", Restrictions),
    ("smtpd_data_restrictions", Restrictions),
    ("smtpd_discard_ehlo_keywords", Words(KEYWORDS)),
    ("smtpd_end_of_data_restrictions", Restrictions),
    ("smtpd_etrn_restrictions", Restrictions),
    ("smtpd_forbid_bare_newline", Word(&["normalize", "yes", "no", "reject", "note"])),
    ("smtpd_forbid_bare_newline_exclusions", Networks),
    ("smtpd_forbid_bare_newline_reject_code", Code),
    ("smtpd_helo_restrictions", Restrictions),
    ("smtpd_proxy_options", Words(&["speed_adjust"])),
    ("smtpd_recipient_restrictions", Restrictions),
    ("smtpd_relay_restrictions", Restrictions),
    ("smtpd_sasl_exceptions_networks", Networks),
    ("smtpd_sasl_security_options", Words(SASL_OPTIONS)),
    ("smtpd_sasl_tls_security_options", Words(SASL_OPTIONS)),
    ("smtpd_sasl_type", Word(&["cyrus", "dovecot"])),
    ("smtpd_sender_restrictions", Restrictions),
    ("smtpd_tls_CAfile", File),
    ("smtpd_tls_ciphers", Word(CIPHERS)),
    ("smtpd_tls_dh1024_param_file", File),
    ("smtpd_tls_dh512_param_file", File),
    ("smtpd_tls_eecdh_grade", Word(GRADES)),
    ("smtpd_tls_mandatory_ciphers", Word(CIPHERS)),
    ("smtpd_tls_mandatory_protocols", Protocols),
    ("smtpd_tls_protocols", Protocols),
    ("smtpd_tls_security_level", MaybeWord(SERVER_TLS)),
    ("smtpd_tls_session_cache_database", Tables),
    ("smtpd_upstream_proxy_protocol", MaybeWord(&["haproxy"])),
    ("smtputf8_autodetect_classes", Words(ORIGINS)),
    ("syslog_facility", Word(FACILITIES)),
    ("unknown_address_reject_code", Code),
    ("unknown_address_tempfail_action", Word(TEMPFAIL)),
    ("unknown_client_reject_code", Code),
    ("unknown_helo_hostname_tempfail_action", Word(TEMPFAIL)),
    ("unknown_hostname_reject_code", Code),
    ("unknown_local_recipient_reject_code", Code),
    ("unknown_relay_recipient_reject_code", Code),
    ("unknown_virtual_alias_reject_code", Code),
    ("unknown_virtual_mailbox_reject_code", Code),
    ("unverified_recipient_defer_code", Code),
    ("unverified_recipient_reject_code", Code),
    ("unverified_recipient_tempfail_action", Word(TEMPFAIL)),
    ("unverified_sender_defer_code", Code),
    ("unverified_sender_reject_code", Code),
    ("unverified_sender_tempfail_action", Word(TEMPFAIL)),
    ("virtual_alias_domains", Domains),
    ("virtual_mailbox_domains", Domains),
    ("virtual_mailbox_lock", Words(LOCKS)),
    ("virtual_transport", Transport),
];

/// Parameters whose name ends in `_maps` but which hold something else, or nothing to be opened.
const NOT_TABLES: &[&str] = &["proxy_read_maps", "proxy_write_maps", "virtual_maps"];

/// The grammar of `name`; `None` when it holds any text.
pub fn of(name: &str) -> Option<Grammar> {
    let find = |n: &str| GRAMMARS.binary_search_by(|(g, _)| (*g).cmp(n)).ok().and_then(|i| GRAMMARS.get(i));
    if let Some((_, grammar)) = find(name) {
        return Some(*grammar);
    }
    if let Some(rest) = name.strip_prefix("lmtp_")
        && let Some((_, grammar)) = find(&format!("smtp_{rest}"))
    {
        return Some(*grammar);
    }
    (name.ends_with("_maps") && !NOT_TABLES.contains(&name)).then_some(Tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params;

    #[test]
    fn sorted_and_registered() {
        let bad = GRAMMARS.windows(2).find(|w| w[0].0 >= w[1].0);
        assert!(bad.is_none(), "{bad:?}");
        for (name, _) in GRAMMARS {
            assert!(params::find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn found() {
        assert_eq!(of("lmtp_address_preference"), of("smtp_address_preference"));
        assert_eq!(of("virtual_alias_maps"), Some(Tables));
        assert_eq!(of("proxy_read_maps"), None);
        assert_eq!(of("smtpd_banner"), None);
    }

    #[test]
    fn defaults_obey() {
        let cfg = crate::Config::from_text("");
        for (name, grammar) in GRAMMARS {
            let value = cfg.str(name).unwrap();
            let knows = |w: &[&str], v: &str| w.iter().any(|k| k.eq_ignore_ascii_case(v));
            let good = match grammar {
                Word(w) => value.is_empty() || knows(w, &value),
                MaybeWord(w) => value.is_empty() || knows(w, &value),
                Words(w) => crate::list::split(&value).iter().all(|v| knows(w, v)),
                Code => value.len() == 3 || value.is_empty(),
                _ => true,
            };
            assert!(good, "{name} = {value}");
        }
    }
}
