//! Parameters of leaving Berkeley DB behind: postfix-non-bdb(1). Facts of postconf(5); sorted by name.

use super::{Param, text, yesno};

/// The group.
#[rustfmt::skip]
pub(super) const PARAMS: &[Param] = &[
    text("non_bdb_custom_mapping", ""),
    text("non_bdb_migration_allow_root_prefixes", ""),
    text("non_bdb_migration_allow_user_prefixes", ""),
    text("non_bdb_migration_level", "disable"),
    yesno("non_bdb_migration_log_redirect", "yes"),
    text("non_bdb_migration_service_name", "nbdb_reindex"),
];
