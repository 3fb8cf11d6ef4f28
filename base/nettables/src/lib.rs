//! Lookup tables that ask a server or a database: one file per type under `types/`, listed in [`types::TYPES`].
//!
//! The worker and the tools hand a [`NetTables`] to base-tables (`Options::more`), which then opens these types too,
//! by themselves and inside `proxy:`, `unionmap:` … The courier links none of this: it asks a process of the mail
//! owner (see ARCHITECTURE.md). A server that is down or slow makes each lookup a `TableError` (a temporary
//! failure) after a bounded time, and is found again by itself.
//!
//! Lookups run on the threads of `base_tables::remote`, so callers need no async runtime.

mod common;
#[cfg(any(feature = "mysql", feature = "pgsql"))]
mod database;
#[cfg(any(feature = "ldap", feature = "mysql", feature = "pgsql"))]
mod hosts;
#[cfg(feature = "ldap")]
mod ldap;
mod link;
#[cfg(any(feature = "mongodb", test))]
mod mongo_filter;
#[cfg(feature = "mysql")]
mod my_cnf;
#[cfg(feature = "pgsql")]
mod pg_tls;
mod place;
mod renewed;
mod settings;
mod sql;
mod talk;
mod template;
#[cfg(feature = "tls")]
mod tls;
pub mod types;

use base_conf::Config;
use base_tables::types::{MoreTypes, Open};
use base_tables::{OpenError, Table};
use std::sync::Arc;

/// Opens the types of this crate.
pub struct NetTables {
    config: Config,
}

/// What a type gets to open a table.
pub struct NetOpen<'a> {
    /// `type:name`, its usage, and the tables it may name in turn.
    pub open: &'a Open<'a>,
    /// main.cf, for tables whose settings stand there.
    pub config: &'a Config,
}

impl NetTables {
    /// `config` has the settings of tables that are named without a file (`mysql:name`).
    pub fn new(config: Config) -> Arc<NetTables> {
        Arc::new(NetTables { config })
    }
}

impl MoreTypes for NetTables {
    fn open(&self, kind: &str, open: &Open<'_>) -> Option<Result<Arc<dyn Table>, OpenError>> {
        let found = types::find(kind)?;
        Some(match open.name.starts_with(['/', '.']) {
            true => renewed::open(found, open, &self.config),
            false => (found.open)(&NetOpen { open, config: &self.config }),
        })
    }

    fn with_settings(&self, settings: &str) -> Option<Arc<dyn MoreTypes>> {
        Some(NetTables::new(Config::from_text(settings)))
    }
}
