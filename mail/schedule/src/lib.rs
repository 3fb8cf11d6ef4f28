//! The queue manager: which message is delivered when, where to, and how many at once (qmgr(8)).
//!
//! A pure part and a driver around it:
//! - [`core`] shares out deliveries: turns, limits; [`feedback`] is a destination's concurrency, [`slots`] what lets small
//!   messages past big ones
//! - [`backlog`] holds sixteen bytes for each message that is on disk only
//! - [`ledger`] is one delivery attempt: outcomes, notices that are due, the next time; [`plan`] its routes
//! - [`config`] is the snapshot of the parameters
//! - [`Scheduler`] starts the driver, [`Handle`] is what others hold of it: arrivals from cleanup, and the
//!   administrator's requests
//!
//! A message is in the active set while it is being delivered; the set is bounded in messages, recipients and bytes. All
//! else stays in the spool. Nothing is forgotten before the spool says so: what a crash interrupts is done again.

pub mod backlog;
pub mod config;
pub mod core;
mod driver;
mod ending;
pub mod feedback;
mod handle;
mod jobs;
pub mod ledger;
pub mod plan;
mod routing;
mod slab;
pub mod slots;
mod state;
mod work;

pub use config::ScheduleConfig;
pub use core::Busy;
pub use driver::{Agents, Parts};
pub use handle::{Handle, Scheduler};
