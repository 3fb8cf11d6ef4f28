//! Parameters of virtual aliases and virtual mailboxes: virtual(5), virtual(8). Facts of postconf(5); sorted by name.

use super::{Param, int, long, text};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    int("virtual_alias_address_length_limit", "1000").used(),
    text("virtual_alias_domains", "$virtual_alias_maps").used(),
    int("virtual_alias_expansion_limit", "1000").used(),
    text("virtual_alias_maps", "$virtual_maps").used(),
    int("virtual_alias_recursion_limit", "1000").used(),
    text("virtual_delivery_status_filter", "$default_delivery_status_filter").used(),
    int("virtual_destination_concurrency_limit", "$default_destination_concurrency_limit").used(),
    int("virtual_destination_recipient_limit", "$default_destination_recipient_limit").used(),
    text("virtual_gid_maps", "").used(),
    text("virtual_mailbox_base", "").used(),
    text("virtual_mailbox_domains", "$virtual_mailbox_maps").used(),
    long("virtual_mailbox_limit", "51200000").used(),
    text("virtual_mailbox_lock", "fcntl, dotlock").used(),
    text("virtual_mailbox_maps", "").used(),
    text("virtual_maps", "").hidden(),
    int("virtual_minimum_uid", "100").used(),
    text("virtual_transport", "virtual").used(),
    text("virtual_uid_maps", "").used(),
];
