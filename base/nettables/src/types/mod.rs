//! The registry of table types that ask a server or a database: one file and one word in [`TYPES`] each.

use crate::NetOpen;
use base_tables::{OpenError, Table};
use std::sync::Arc;

#[cfg(feature = "ldap")]
mod ldap;
mod memcache;
#[cfg(feature = "mongodb")]
mod mongodb;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "pgsql")]
mod pgsql;
mod redis;
mod socketmap;
#[cfg(feature = "sqlite")]
mod sqlite;
mod srs;
mod tcp;

/// One table type.
pub struct NetType {
    /// The word before the colon.
    pub name: &'static str,
    /// Opens `type:name`.
    pub open: fn(&NetOpen<'_>) -> Result<Arc<dyn Table>, OpenError>,
}

/// All types, sorted by name (`postconf -m`).
pub static TYPES: &[&NetType] = &[
    &memcache::TYPE,
    #[cfg(feature = "ldap")]
    &ldap::TYPE,
    #[cfg(feature = "mongodb")]
    &mongodb::TYPE,
    #[cfg(feature = "mysql")]
    &mysql::TYPE,
    #[cfg(feature = "pgsql")]
    &pgsql::TYPE,
    &redis::TYPE,
    &socketmap::TYPE,
    #[cfg(feature = "sqlite")]
    &sqlite::TYPE,
    &srs::TYPE,
    &tcp::TYPE,
    &srs::REVERSE,
];

/// The type of this name.
pub fn find(name: &str) -> Option<&'static NetType> {
    TYPES.iter().copied().find(|t| t.name == name)
}
