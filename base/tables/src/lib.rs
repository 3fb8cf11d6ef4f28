//! Lookup tables: `type:name` handles, chains of tables, match lists, and building indexed files.
//!
//! Every stage asks its questions through [`Maps`] or [`MatchList`]; both hold handles that
//! [`Tables`] opened once and shares. A handle notices by itself when its file changed and swaps the
//! new content in whole; a file that cannot be read makes every lookup a [`TableError`] (a temporary
//! failure), never a wrong answer. Table types are one file each under `types/`, listed in
//! [`types::TYPES`]. postmap(1), postalias(1) and newaliases(1) build through [`build`].
//!
//! Manual pages: DATABASE_README, postmap(1), cidr_table(5), regexp_table(5), pcre_table(5).

mod address;
mod aliases;
mod backrefs;
mod bdb;
pub mod build;
mod cdb;
mod chunks;
pub mod elsewhere;
mod exec;
pub mod files;
mod fold;
pub mod fuzz;
mod grams;
mod index;
mod indexed;
mod lines;
mod maps;
mod match_list;
mod network;
pub mod pairs;
mod plain;
mod prefilter;
pub mod remote;
mod rules;
mod source;
mod table;
mod tables;
mod template;
mod translate;
pub mod types;
mod watch;

pub use exec::block_on;
pub use maps::{AddressForms, DomainForms, Maps};
pub use match_list::{MatchKind, MatchList};
pub use network::Network;
pub use table::{Answer, Entries, Fut, OpenError, Table, TableError};
pub use tables::{Options, ProxyRead, Tables, Usage, Warn};
pub use watch::Watched;
