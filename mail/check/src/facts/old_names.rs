//! Parameters of the past: renamed, deprecated, removed, and what to set today. postconf(5), DEPRECATION_README and the
//! release notes up to 3.12.

/// (old name, what to set today). A plain name is the new name; anything else is an advice.
#[rustfmt::skip]
pub const OLD_NAMES: &[(&str, &str)] = &[
    ("authorized_verp_clients", "smtpd_authorized_verp_clients"),
    ("check_relay_domains", "smtpd_relay_restrictions with reject_unauth_destination"),
    ("disable_dns_lookups", "smtp_dns_support_level"),
    ("extract_recipient_limit", "nothing: it has no effect"),
    ("fallback_relay", "smtp_fallback_relay"),
    ("lmtp_cname_overrides_servername", "nothing: it is no longer supported"),
    ("lmtp_enforce_tls", "lmtp_tls_security_level = encrypt"),
    ("lmtp_per_record_deadline", "lmtp_per_request_deadline"),
    ("lmtp_tls_enforce_peername", "lmtp_tls_security_level = verify"),
    ("lmtp_tls_per_site", "lmtp_tls_policy_maps"),
    ("lmtp_use_tls", "lmtp_tls_security_level = may"),
    ("maps_rbl_domains", "reject_rbl_client followed by the domain of each list, in smtpd_recipient_restrictions"),
    ("permit_mx_backup_networks", "relay_domains with the domains that are to be relayed"),
    ("postscreen_blacklist_action", "postscreen_denylist_action"),
    ("postscreen_dnsbl_ttl", "postscreen_dnsbl_max_ttl"),
    ("postscreen_dnsbl_whitelist_threshold", "postscreen_dnsbl_allowlist_threshold"),
    ("postscreen_whitelist_interfaces", "postscreen_allowlist_interfaces"),
    ("program_directory", "daemon_directory"),
    ("recipient_canonical_map", "recipient_canonical_maps"),
    ("relocated_map", "relocated_maps"),
    ("sender_based_routing", "sender_dependent_relayhost_maps"),
    ("smtp_cname_overrides_servername", "nothing: it is no longer supported"),
    ("smtp_enforce_tls", "smtp_tls_security_level = encrypt"),
    ("smtp_per_record_deadline", "smtp_per_request_deadline"),
    ("smtp_skip_4xx_greeting", "nothing: a greeting of 4xx always sends the client to the next server"),
    ("smtp_tls_enforce_peername", "smtp_tls_security_level = verify"),
    ("smtp_tls_per_site", "smtp_tls_policy_maps"),
    ("smtp_use_tls", "smtp_tls_security_level = may"),
    ("smtpd_client_connection_limit_exceptions", "smtpd_client_event_limit_exceptions"),
    ("smtpd_enforce_tls", "smtpd_tls_security_level = encrypt"),
    ("smtpd_per_record_deadline", "smtpd_per_request_deadline"),
    ("smtpd_tls_dh1024_param_file", "nothing: good parameters are built in"),
    ("smtpd_tls_dh512_param_file", "nothing: good parameters are built in"),
    ("smtpd_tls_eecdh_grade", "nothing: the default is best"),
    ("smtpd_use_tls", "smtpd_tls_security_level = may"),
    ("tls_daemon_random_bytes", "tls_random_bytes"),
    ("tls_daemon_random_source", "tls_random_source"),
    ("tlsproxy_client_level", "tlsproxy_client_security_level"),
    ("tlsproxy_client_loglevel_parameter", "nothing: it was removed in 3.12"),
    ("tlsproxy_client_policy", "tlsproxy_client_policy_maps"),
    ("tlsproxy_enforce_tls", "tlsproxy_tls_security_level = encrypt"),
    ("tlsproxy_use_tls", "tlsproxy_tls_security_level = may"),
    ("virtual_gid_map", "virtual_gid_maps"),
    ("virtual_maps", "virtual_alias_maps, and virtual_alias_domains for its domains"),
    ("virtual_uid_map", "virtual_uid_maps"),
];

/// What to set today instead of `name`.
pub fn today(name: &str) -> Option<&'static str> {
    OLD_NAMES.binary_search_by(|(n, _)| (*n).cmp(name)).ok().and_then(|i| OLD_NAMES.get(i)).map(|(_, t)| *t)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_conf::params;

    #[test]
    fn sorted_and_true() {
        let bad = OLD_NAMES.windows(2).find(|w| w[0].0 >= w[1].0);
        assert!(bad.is_none(), "{bad:?}");
        for (_, today) in OLD_NAMES.iter().filter(|(_, t)| !t.contains([' ', ':'])) {
            assert!(params::find(today).is_some_and(|p| !p.hidden), "{today}");
        }
    }
}
