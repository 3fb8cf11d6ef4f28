//! What goes into the scheduler and what comes out of it.

use crate::feedback::Rules;
use crate::slots::SlotRules;
use base_calls::Target;
use proto_dsn::Status;
use std::sync::Arc;
use std::time::Duration;

/// The limits of one transport.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransportLimits {
    /// Concurrency of one destination.
    pub rules: Rules,
    /// `…_destination_recipient_limit`; `usize::MAX` for none. With 1, each recipient is a destination of its own.
    pub recipients: usize,
    /// How messages go past each other.
    pub slots: SlotRules,
    /// Deliveries at once (maxproc of master.cf); `u32::MAX` for no limit.
    pub processes: u32,
    /// `…_destination_rate_delay`.
    pub rate_delay: Duration,
    /// `…_transport_rate_delay`; with one, deliveries are made one at a time.
    pub transport_delay: Duration,
    /// `minimal_backoff_time`: how long a dead destination is left alone.
    pub dead_time: Duration,
    /// `transport_retry_time`: how long a missing transport is left alone.
    pub transport_dead_time: Duration,
}

/// Recipients of one message for one transport and next hop.
#[derive(Debug)]
pub struct Batch<M> {
    /// The message.
    pub message: M,
    /// Transport.
    pub transport: Arc<str>,
    /// Next hop.
    pub nexthop: Arc<str>,
    /// Recipients.
    pub targets: Vec<Target>,
}

/// A delivery to make.
#[derive(Debug)]
pub struct Job<M> {
    /// The message.
    pub message: M,
    /// Transport.
    pub transport: Arc<str>,
    /// Next hop.
    pub nexthop: Arc<str>,
    /// Recipients.
    pub targets: Vec<Target>,
    /// For [`Core::finish`].
    pub ticket: Ticket,
}

/// Stands for a running job. Not cloneable: each job ends once.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(crate) destination: usize,
}

/// How a job ended, as far as the destination is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The destination answers.
    Up,
    /// It could not be reached.
    Down(Status, String),
    /// The delivery says nothing about the destination (it was cancelled).
    Unknown,
    /// There is no such transport.
    NoTransport(Status, String),
}
