//! Parameters of address rewriting and resolving: trivial-rewrite(8). Facts of postconf(5); sorted by name.

use super::{Param, text, yesno};

/// The group.
pub(super) const PARAMS: &[Param] = &[
    yesno("allow_min_user", "no"),
    yesno("allow_percent_hack", "yes"),
    yesno("append_at_myorigin", "yes"),
    yesno("append_dot_mydomain", "${{$compatibility_level} <level {1} ? {yes} : {no}}"),
    text("default_transport", "smtp"),
    text("empty_address_relayhost_maps_lookup_key", "<>"),
    text("local_transport", "local:$myhostname"),
    text("mydestination", "$myhostname, localhost.$mydomain, localhost"),
    text("relay_domains", "${{$compatibility_level} <level {2} ? {$mydestination} : {}}"),
    text("relay_transport", "relay"),
    text("relayhost", ""),
    text("relocated_maps", ""),
    yesno("relocated_prefix_enable", "yes"),
    yesno("resolve_dequoted_address", "yes"),
    yesno("resolve_null_domain", "no"),
    yesno("resolve_numeric_domain", "no"),
    text("sender_dependent_relayhost_maps", ""),
    yesno("show_user_unknown_table_name", "yes"),
    yesno("swap_bangpath", "yes"),
    text("transport_maps", ""),
];
