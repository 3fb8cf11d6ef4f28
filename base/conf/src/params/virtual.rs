//! Parameters of virtual aliases and virtual mailboxes: virtual(5), virtual(8). Facts of postconf(5); sorted by name.

use super::{Param, int, long, text};

/// The group.
pub(super) const PARAMS: &[Param] = &[
    int("virtual_alias_address_length_limit", "1000"),
    text("virtual_alias_domains", "$virtual_alias_maps"),
    int("virtual_alias_expansion_limit", "1000"),
    text("virtual_alias_maps", "$virtual_maps"),
    int("virtual_alias_recursion_limit", "1000"),
    text("virtual_delivery_status_filter", "$default_delivery_status_filter"),
    int("virtual_destination_concurrency_limit", "$default_destination_concurrency_limit"),
    int("virtual_destination_recipient_limit", "$default_destination_recipient_limit"),
    text("virtual_gid_maps", ""),
    text("virtual_mailbox_base", ""),
    text("virtual_mailbox_domains", "$virtual_mailbox_maps"),
    long("virtual_mailbox_limit", "51200000"),
    text("virtual_mailbox_lock", "fcntl, dotlock"),
    text("virtual_mailbox_maps", ""),
    text("virtual_maps", "").hidden(),
    int("virtual_minimum_uid", "100"),
    text("virtual_transport", "virtual"),
    text("virtual_uid_maps", ""),
];
