//! What is left to do of one message within one transport (a "job" with its "peers" in SCHEDULER_README), and the
//! destination's side of it.
//!
//! Pure. Parts of a message whose destination has room are `ready` and take turns; the others wait with their
//! destination, in the order of the messages.

use crate::feedback::{Concurrency, Rules};
use crate::jobs::TransportLimits;
use crate::slots::Slots;
use base_calls::{Target, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Where a message stands in its transport's line: by arrival, unless it went past another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order(u64, u64);

impl Order {
    /// The place at the end; `number` grows by one with each call.
    pub(crate) fn last(number: u64) -> Self {
        Self(number << 16, number)
    }

    /// The place in front of this one. None when too many are nested.
    pub(crate) fn before(self, number: u64) -> Option<Self> {
        (self.0 & 0xffff != 1).then(|| Self(self.0.wrapping_sub(1), number))
    }
}

/// Deliveries of one message to one destination, each with its recipients.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) destination: usize,
    pub(crate) entries: VecDeque<Vec<Target>>,
}

/// One message within one transport.
#[derive(Debug)]
pub(crate) struct Work<M> {
    pub(crate) message: M,
    pub(crate) transport: usize,
    pub(crate) order: Order,
    pub(crate) since: Timestamp,
    /// Parts that may go on, in turn.
    pub(crate) ready: VecDeque<Part>,
    /// Parts that wait, by destination.
    pub(crate) parked: BTreeMap<usize, Part>,
    /// Deliveries in both.
    pub(crate) entries: usize,
    pub(crate) slots: Slots,
}

impl<M> Work<M> {
    /// A part waits for its destination.
    pub(crate) fn park(&mut self, mut part: Part) {
        match self.parked.get_mut(&part.destination) {
            Some(other) => other.entries.append(&mut part.entries),
            None => {
                self.parked.insert(part.destination, part);
            }
        }
    }
}

/// A destination that is left alone.
#[derive(Debug)]
pub(crate) struct Dead {
    pub(crate) until: Timestamp,
    /// Next hop for the retry transport.
    pub(crate) text: Arc<str>,
}

/// A next hop of a transport; with one recipient a delivery, a recipient.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) transport: usize,
    pub(crate) key: Arc<str>,
    pub(crate) nexthop: Arc<str>,
    pub(crate) concurrency: Concurrency,
    pub(crate) running: u32,
    /// Parts that are ready in some message's turn.
    pub(crate) ready: u32,
    /// Messages with a part that waits here.
    pub(crate) queue: BTreeSet<(Order, usize)>,
    pub(crate) not_before: Timestamp,
    /// A timer for `not_before` is set.
    pub(crate) timed: bool,
    pub(crate) dead: Option<Dead>,
    /// In the list of idle ones that are kept.
    pub(crate) idle: bool,
}

impl Destination {
    pub(crate) fn new(transport: usize, key: Arc<str>, nexthop: Arc<str>, rules: &Rules) -> Self {
        Self {
            transport,
            key,
            nexthop,
            concurrency: Concurrency::new(rules),
            running: 0,
            ready: 0,
            queue: BTreeSet::new(),
            not_before: Timestamp::default(),
            timed: false,
            dead: None,
            idle: false,
        }
    }

    /// How many more deliveries may start.
    pub(crate) fn room(&self, now: Timestamp, limits: &TransportLimits) -> u32 {
        if self.not_before > now || self.dead.is_some() {
            return 0;
        }
        let most = match limits.rate_delay.is_zero() {
            true => self.concurrency.window().min(limits.rules.limit.max(1)),
            false => 1,
        };
        most.saturating_sub(self.running)
    }

    /// Nothing runs and nothing waits.
    pub(crate) fn is_quiet(&self) -> bool {
        self.running == 0 && self.ready == 0 && self.queue.is_empty()
    }
}
