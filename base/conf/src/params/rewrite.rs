//! Parameters of address rewriting and resolving: trivial-rewrite(8). Facts of postconf(5); sorted by name.

use super::{Param, text, yesno};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    yesno("allow_min_user", "no").used(),
    yesno("allow_percent_hack", "yes").used(),
    yesno("append_at_myorigin", "yes").used(),
    yesno("append_dot_mydomain", "${{$compatibility_level} <level {1} ? {yes} : {no}}").used(),
    text("default_transport", "smtp").used(),
    text("empty_address_relayhost_maps_lookup_key", "<>").used(),
    text("local_transport", "local:$myhostname").used(),
    text("mydestination", "$myhostname, localhost.$mydomain, localhost").used(),
    text("relay_domains", "${{$compatibility_level} <level {2} ? {$mydestination} : {}}").used(),
    text("relay_transport", "relay").used(),
    text("relayhost", "").used(),
    text("relocated_maps", "").used(),
    yesno("relocated_prefix_enable", "yes").used(),
    yesno("resolve_dequoted_address", "yes").used(),
    yesno("resolve_null_domain", "no").used(),
    yesno("resolve_numeric_domain", "no").used(),
    text("sender_dependent_relayhost_maps", "").used(),
    yesno("show_user_unknown_table_name", "yes").used(),
    yesno("swap_bangpath", "yes").used(),
    text("transport_maps", "").used(),
];
