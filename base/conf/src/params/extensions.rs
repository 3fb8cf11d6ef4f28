//! Parameters that Postfix has not: docs/extensions.md. Not listed by `postconf -d`; sorted by name.

use super::{Param, int, text, time};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    int("greylist_auto_allow_clients", "5").used().hidden(),
    text("greylist_client_exceptions", "$mynetworks").used().hidden(),
    time("greylist_delay", "300s").used().hidden(),
    int("greylist_ipv4_prefix_length", "24").used().hidden(),
    int("greylist_ipv6_prefix_length", "64").used().hidden(),
    text("greylist_map", "$default_cache_db_type:$data_directory/greylist").used().hidden(),
    time("greylist_max_age", "35d").used().hidden(),
    text("greylist_recipient_exceptions", "").used().hidden(),
    time("greylist_retry_window", "2d").used().hidden(),
    text("greylist_text", "Greylisted").used().hidden(),
];
