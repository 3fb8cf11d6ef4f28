//! Parameters of reply codes and restriction helpers: access(5). Facts of postconf(5); sorted by name.

use super::{Param, int, raw, text};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    int("access_map_defer_code", "450").used(),
    int("access_map_reject_code", "554").used(),
    raw("default_rbl_reply", "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}").used(),
    int("defer_code", "450").used(),
    int("fault_injection_code", "0"),
    int("invalid_hostname_reject_code", "501").used(),
    text("maps_rbl_domains", "").used(),
    int("maps_rbl_reject_code", "554").used(),
    int("multi_recipient_bounce_reject_code", "550").used(),
    text("non_empty_end_of_header_action", "fix_quietly"),
    int("non_fqdn_reject_code", "504").used(),
    text("permit_mx_backup_networks", "").used(),
    int("plaintext_reject_code", "450").used(),
    text("rbl_reply_maps", "").used(),
    int("reject_code", "554").used(),
    text("reject_tempfail_action", "defer_if_permit"),
    int("relay_domains_reject_code", "554").used(),
    int("unknown_address_reject_code", "450").used(),
    text("unknown_address_tempfail_action", "$reject_tempfail_action").used(),
    int("unknown_client_reject_code", "450").used(),
    text("unknown_helo_hostname_tempfail_action", "$reject_tempfail_action").used(),
    int("unknown_hostname_reject_code", "450").used(),
    int("unknown_local_recipient_reject_code", "550").used(),
    int("unknown_relay_recipient_reject_code", "550").used(),
    int("unknown_virtual_alias_reject_code", "550").used(),
    int("unknown_virtual_mailbox_reject_code", "550").used(),
];
