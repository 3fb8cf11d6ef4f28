//! Configuration: main.cf, master.cf, `$name` expansion, the parameter registry, typed getters.
//!
//! Called by every program at start and reload, to build typed immutable snapshots; nothing here is consulted while
//! mail is handled. A [`Config`] is immutable and cheap to clone. Everything that can be wrong with a file is an
//! [`Error`] that names file, line and reason; nothing panics, and nothing is written.
//!
//! `Display` gives Postfix's `FILE, line N: reason`.
//!
//! Manual pages: postconf(5) (file format, parameters), master(5).
//!
//! - [`main_cf`] reads main.cf as written, with file and line of each definition
//! - [`expand`] is the `$name` language, [`value`] the grammars of numbers, times and yes/no, [`list`] of lists
//! - [`params`] is the registry: every parameter with type and default, one file per group
//! - [`grammar`] says what text parameters may hold
//! - [`config`] puts them together; [`computed`] makes the defaults that depend on the machine
//! - [`master_cf`] reads master.cf
//! - [`names`] finds the names that a value refers to
//! - [`fuzz`] holds the check functions for arbitrary input

pub mod computed;
pub mod config;
mod error;
pub mod expand;
pub mod fuzz;
pub mod grammar;
pub mod level;
pub mod list;
pub mod main_cf;
pub mod master_cf;
pub mod names;
pub mod params;
pub mod value;

pub use config::Config;
pub use error::Error;
pub use main_cf::MainCf;
pub use master_cf::{MasterCf, Service, ServiceKind, Wakeup};
