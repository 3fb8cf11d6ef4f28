//! Parameters of address verification: verify(8). Facts of postconf(5); sorted by name.

use super::{Param, int, text, time, yesno};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    time("address_verify_cache_cleanup_interval", "12h").used(),
    text("address_verify_default_transport", "$default_transport").used(),
    text("address_verify_local_transport", "$local_transport").used(),
    text("address_verify_map", "$default_cache_db_type:$data_directory/verify_cache").used(),
    yesno("address_verify_negative_cache", "yes").used(),
    time("address_verify_negative_expire_time", "3d").used(),
    time("address_verify_negative_refresh_time", "3h").used(),
    int("address_verify_pending_request_limit", "5000").used(),
    int("address_verify_poll_count", "${stress?{1}:{3}}").used(),
    time("address_verify_poll_delay", "3s").used(),
    time("address_verify_positive_expire_time", "31d").used(),
    time("address_verify_positive_refresh_time", "7d").used(),
    text("address_verify_relay_transport", "$relay_transport").used(),
    text("address_verify_relayhost", "$relayhost").used(),
    text("address_verify_sender", "$double_bounce_sender").used(),
    text("address_verify_sender_dependent_default_transport_maps", "$sender_dependent_default_transport_maps").used(),
    text("address_verify_sender_dependent_relayhost_maps", "$sender_dependent_relayhost_maps").used(),
    time("address_verify_sender_ttl", "0s").used(),
    text("address_verify_service_name", "verify").used(),
    text("address_verify_transport_maps", "$transport_maps").used(),
    text("address_verify_virtual_transport", "$virtual_transport").used(),
    int("unverified_recipient_defer_code", "450").used(),
    int("unverified_recipient_reject_code", "450").used(),
    text("unverified_recipient_reject_reason", "").used(),
    text("unverified_recipient_tempfail_action", "$reject_tempfail_action").used(),
    int("unverified_sender_defer_code", "450").used(),
    int("unverified_sender_reject_code", "450").used(),
    text("unverified_sender_reject_reason", "").used(),
    text("unverified_sender_tempfail_action", "$reject_tempfail_action").used(),
];
