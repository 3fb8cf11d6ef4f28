//! Agents that act as another user: local(8), virtual(8), pipe(8).
//!
//! In two halves. [`agents`] *decide*: from a request of the worker and the configuration they make a [`plan`]: which
//! user is to do which [`job`], what is said at once, what is to be forwarded. They run in the courier's main process
//! and touch no mailbox. [`perform`] *does* one job in a process that has become that user already: append to an mbox,
//! drop into a Maildir, run a command. A job that reports success is durable (file and folder synced).
//!
//! Only programs/courier calls this crate. Errors are verdicts of a recipient (temporary or permanent, status, text);
//! nothing panics on content, addresses or what it finds in a file system.
//!
//! Manual pages: local(8), virtual(8), pipe(8), aliases(5).

// A verdict is an everyday value here, not an exception: one per recipient, never deep in a call chain.
#![allow(clippy::result_large_err)]

pub mod agents;
pub mod command;
pub mod copy;
pub mod job;
pub mod maildir;
pub mod mbox;
pub mod perform;
pub mod plan;
pub mod prefix;
pub mod status;

pub use agents::{Agents, World};
pub use job::{Job, JobReport};
pub use perform::perform;
pub use plan::{Plan, Step};
