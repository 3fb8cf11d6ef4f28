//! Parameters that Postfix has not: docs/extensions.md. Not listed by `postconf -d`; sorted by name.

use super::{Param, int, text, time, yesno};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    int("greylist_auto_allow_clients", "5").hidden().used(),
    text("greylist_client_exceptions", "$mynetworks").hidden().used(),
    time("greylist_delay", "300s").hidden().used(),
    int("greylist_ipv4_prefix_length", "24").hidden().used(),
    int("greylist_ipv6_prefix_length", "64").hidden().used(),
    text("greylist_map", "$default_cache_db_type:$data_directory/greylist").hidden().used(),
    time("greylist_max_age", "35d").hidden().used(),
    text("greylist_recipient_exceptions", "").hidden().used(),
    time("greylist_retry_window", "2d").hidden().used(),
    text("greylist_text", "Greylisted").hidden().used(),
    text("lmtp_sasl_oauth_CAfile", "").hidden().used(),
    text("lmtp_sasl_oauth_cache_map", "$smtp_sasl_oauth_cache_map").hidden().used(),
    text("lmtp_sasl_oauth_maps", "").hidden().used(),
    text("maillog_json_file", "").hidden().used(),
    text("metrics_listen", "").hidden().used(),
    yesno("smtp_mta_sts", "no").hidden().used(),
    text("smtp_mta_sts_CAfile", "").hidden().used(),
    text("smtp_mta_sts_cache_map", "$default_cache_db_type:$data_directory/mta_sts").hidden().used(),
    time("smtp_mta_sts_timeout", "60s").hidden().used(),
    text("smtp_sasl_oauth_CAfile", "").hidden().used(),
    text("smtp_sasl_oauth_cache_map", "$default_cache_db_type:$data_directory/smtp_sasl_oauth").hidden().used(),
    text("smtp_sasl_oauth_maps", "").hidden().used(),
    text("tls_acme_CAfile", "").hidden().used(),
    text("tls_acme_challenge", "http-01").hidden().used(),
    text("tls_acme_contact", "").hidden().used(),
    text("tls_acme_directory", "https://acme-v02.api.letsencrypt.org/directory").hidden().used(),
    text("tls_acme_domains", "").hidden().used(),
    text("tls_acme_listen", "80").hidden().used(),
];
