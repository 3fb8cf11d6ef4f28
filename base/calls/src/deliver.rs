//! A delivery: some recipients of one message for one transport and next hop.

use crate::{Diagnosis, Fut, Queued, Timestamp};
use std::sync::Arc;

/// A recipient to deliver to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Index in the envelope.
    pub index: u32,
    /// Address after resolving; differs from the envelope's only through routing.
    pub address: String,
}

/// What the scheduler asks of a delivery agent.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message.
    pub message: Arc<Queued>,
    /// Service name in master.cf.
    pub transport: Arc<str>,
    /// Next hop.
    pub nexthop: Arc<str>,
    /// Recipients, at most the transport's `_destination_recipient_limit`.
    pub targets: Vec<Target>,
    /// When the scheduler took the message up (delays: `b` ends here).
    pub activated: Timestamp,
    /// The envelope sender of this delivery where it is not the message's: VERP, with one target.
    pub verp_sender: Option<Arc<str>>,
    /// Members of a recipient's alias that earlier attempts are done with, by envelope index.
    pub done: Vec<(u32, Vec<String>)>,
}

impl Delivery {
    /// The envelope sender.
    pub fn sender(&self) -> &str {
        self.verp_sender.as_deref().unwrap_or(&self.message.envelope.sender)
    }
}

/// What became of one recipient. The agent has logged it (`to=<…>, relay=…, status=…`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Delivered. The report is due as a success notice when the recipient asked for one: `Some` with status,
    /// text and the action (`delivered`, `relayed`, `expanded`).
    Sent(Option<Box<Diagnosis>>),
    /// Temporary failure.
    Deferred(Box<Diagnosis>),
    /// Permanent failure.
    Failed(Box<Diagnosis>),
}

/// The result of a [`Delivery`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryReport {
    /// One for each target, by envelope index. A target that is missing counts as deferred.
    pub outcomes: Vec<(u32, Outcome)>,
    /// Set when the destination as a whole could not be reached: feeds the scheduler's dead-destination logic
    /// (`…_destination_concurrency_failed_cohort_limit`), with the reason for the recipients that wait.
    pub destination_down: Option<Box<Diagnosis>>,
    /// For the report that `sendmail -v` and `-bv` ask for: every result, by envelope index.
    pub traces: Vec<(u32, Diagnosis)>,
}

impl DeliveryReport {
    /// All this is about `address`, a member of the target's alias.
    pub fn of_member(&mut self, address: &str) {
        let outcomes = self.outcomes.iter_mut().filter_map(|(_, o)| match o {
            Outcome::Deferred(d) | Outcome::Failed(d) => Some(&mut **d),
            Outcome::Sent(_) => None,
        });
        for d in outcomes.chain(self.traces.iter_mut().map(|(_, d)| d)) {
            d.address.get_or_insert_with(|| address.to_owned());
        }
    }
}

/// A delivery agent: one master.cf transport.
pub trait Deliver: Send + Sync {
    /// Delivers. Never fails as a whole: what goes wrong is a deferral with a reason.
    fn deliver(&self, delivery: Delivery) -> Fut<'_, DeliveryReport>;
}
