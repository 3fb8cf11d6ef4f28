//! The access restrictions of the SMTP server: `smtpd_*_restrictions`, restriction classes, access tables.
//!
//! mail/receive hands over the [`Facts`] of a session at each stage and gets an [`Outcome`]: a refusal or none, and what
//! is to be done to the message. A rule never fails: what cannot be found out is a refusal with 4xx. Each reject line is logged
//! here, since only the evaluator knows of `warn_if_reject` and of the actions that log without refusing.
//!
//! One restriction is one file in [`rules`], one access-table action one file in [`access`]. postconf(5), access(5),
//! SMTPD_ACCESS_README.

pub mod access;
mod answers;
mod config;
mod decision;
mod decisions;
mod dnslist;
mod eval;
mod facts;
mod greylist;
mod imagined;
mod list;
mod lookup;
mod open_relay;
mod policy;
pub mod rules;
mod scout;
mod stages;
mod stranger;
mod template;
mod trace;
mod verdict;

pub use answers::Answers;
pub use config::{Codes, RestrictConfig};
pub use decision::Decision;
pub use decisions::{Bounds, Decisions, history_file};
pub use dnslist::{DnsList, Key, is_service_error};
pub use facts::{ClientCert, Facts, HostStatus, Login, Memory, Peer, Stage, Tls};
pub use imagined::Imagined;
pub use list::ListName;
pub use open_relay::{BadArgument, OpenRelay};
pub use stages::Outcome;
pub use template::{ExpansionFilter, fill};
pub use trace::{Step, Tape, steps};
pub use verdict::{Refusal, Verdict};

use base_cache::Caches;
use base_calls::{Route, Verify};
use base_dns::Resolver;
use base_log::Log;
use base_tables::Tables;
use std::sync::Arc;

/// The evaluator with all that rules ask.
pub struct Restrict {
    config: Arc<RestrictConfig>,
    lists: list::Lists,
    matches: config::Matches,
    tables: Arc<Tables>,
    route: Arc<dyn Route>,
    resolver: Resolver,
    verify: Option<Arc<dyn Verify>>,
    health: dnslist::Health,
    greylist: greylist::Memory,
    log: Log,
}

impl Restrict {
    /// Compiles the lists of `config`. What is wrong in them shows when they are used, as in Postfix: see
    /// [`Restrict::check_open_relay`] for the one thing that must hold before.
    pub fn new(
        config: Arc<RestrictConfig>,
        tables: Arc<Tables>,
        route: Arc<dyn Route>,
        resolver: Resolver,
        log: Log,
    ) -> Self {
        let lists = list::Lists::compile(&config, &tables);
        let matches = config::Matches::open(&config, &tables);
        Self {
            config,
            lists,
            matches,
            tables,
            route,
            resolver,
            verify: None,
            health: dnslist::Health::default(),
            greylist: greylist::Memory::default(),
            log,
        }
    }

    /// With address verification (`reject_unverified_sender`, `reject_unverified_recipient`); without, these say nothing.
    #[must_use]
    pub fn verifying(self, verify: Option<Arc<dyn Verify>>) -> Self {
        Self { verify, ..self }
    }

    /// With caches that outlive a restart (`check_greylist`); without, greylists are in memory and die with the configuration.
    #[must_use]
    pub fn remembering(self, caches: Arc<Caches>) -> Self {
        Self { greylist: greylist::Memory::behind(caches), ..self }
    }

    /// The typed snapshot that this was made from.
    pub fn config(&self) -> &RestrictConfig {
        &self.config
    }
}
