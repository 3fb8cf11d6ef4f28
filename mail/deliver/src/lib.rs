//! The delivery agents: smtp(8), lmtp(8), error(8), discard(8), and the worker's side of local(8), virtual(8), pipe(8).
//!
//! [`agent`] makes one for a master.cf service; [`agents`] holds the registry, one file per agent. An agent logs every
//! recipient's result (`to=<…>, relay=…, status=…`) before it reports it, never fails as a whole, and holds no
//! message state between two deliveries. All waits on peers have the time limits of postconf(5). What acts as another
//! user (mailboxes, commands) is asked of programs/courier over `private/courier`.

pub mod agents;
mod client;
mod courier;
mod lazy;
#[cfg(test)]
mod peer;
mod report;
mod status_filter;
#[cfg(test)]
mod testing;
pub mod tls_report;
mod transports;

pub use client::{FingerRequest, finger};
pub use transports::Transports;

use base_cache::Caches;
use base_calls::{Deliver, Route, Submit};
use base_conf::{Config, Service};
use base_dns::Resolver;
use base_log::Log;
use base_sys::opener::Opener;
use base_tables::Tables;
use std::{path::PathBuf, sync::Arc};

/// What the agents work with.
#[derive(Clone)]
pub struct Deps {
    /// The log.
    pub log: Log,
    /// DNS.
    pub resolver: Resolver,
    /// Lookup tables.
    pub tables: Arc<Tables>,
    /// Where members of aliases go.
    pub route: Arc<dyn Route>,
    /// Re-injection of forwarded mail.
    pub submit: Arc<dyn Submit>,
    /// Opens certificates and keys, which may be readable by root only.
    pub opener: Arc<dyn Opener>,
    /// Caches that outlive a restart.
    pub caches: Arc<Caches>,
    /// `queue_directory`: relative socket paths, `private/courier`.
    pub queue_directory: PathBuf,
    /// The agents of this configuration; a new, empty one for each configuration.
    pub transports: Arc<Transports>,
}

/// The agent of a master.cf service, made at its first delivery. `cfg` is the view of that service (its `-o` overrides, its
/// process name). `None` when the service's command delivers nothing.
pub fn agent(service: &Service, cfg: &Config, deps: &Deps) -> Option<Arc<dyn Deliver>> {
    let kind = agents::find(&service.command)?;
    let agent: Arc<dyn Deliver> = Arc::new(lazy::Lazy::new(kind, service, cfg, deps));
    deps.transports.enter(&service.name, &agent);
    Some(agent)
}
