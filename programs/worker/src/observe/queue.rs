//! The queue by state and age, counted over the index of the spool, page by page.

use base_calls::{QueueName, Timestamp};
use base_metrics::Page;
use mail_schedule::{Busy, Handle};
use std::{
    fmt,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// How long a count serves: a monitor that asks more often gets the same one.
pub const FRESH: Duration = Duration::from_secs(5);
/// Index entries at a time.
const PAGE: usize = 1024;
/// So many next hops are on the page.
const DESTINATIONS: usize = 20;
/// The states, in their order.
const STATES: [QueueName; 4] = [QueueName::Incoming, QueueName::Active, QueueName::Deferred, QueueName::Hold];
/// Ages: younger than so many seconds, and older than all.
const AGES: [(u64, &str); 6] =
    [(300, "5m"), (3600, "1h"), (14_400, "4h"), (86_400, "1d"), (432_000, "5d"), (u64::MAX, "older")];

/// Messages of one state.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct State {
    by_age: [u64; AGES.len()],
    oldest: Duration,
}

impl State {
    fn total(&self) -> u64 {
        self.by_age.iter().sum()
    }

    fn add(&mut self, age: Duration) {
        let at = AGES.partition_point(|(end, _)| *end <= age.as_secs());
        if let Some(n) = self.by_age.get_mut(at) {
            *n += 1;
        }
        self.oldest = self.oldest.max(age);
    }
}

/// The whole queue.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    states: [State; STATES.len()],
    busiest: Vec<Busy>,
}

/// The last count and when it was made.
#[derive(Debug, Default)]
pub struct Census(Mutex<Option<(Instant, Counts)>>);

impl Census {
    /// A count that is not older than [`FRESH`]. Who asks meanwhile waits for the one who counts.
    pub async fn get(&self, handle: &Handle) -> Counts {
        let mut kept = self.0.lock().await;
        if let Some((at, counts)) = &*kept
            && at.elapsed() < FRESH
        {
            return counts.clone();
        }
        let counts = count(handle).await;
        *kept = Some((Instant::now(), counts.clone()));
        counts
    }
}

async fn count(handle: &Handle) -> Counts {
    let now = Timestamp::now();
    let mut counts = Counts { busiest: handle.busiest(DESTINATIONS), ..Counts::default() };
    let mut from = Some(0);
    while let Some(slot) = from {
        let page = handle.spool().list(slot, PAGE);
        from = page.last().and_then(|s| s.id.slot.checked_add(1));
        for summary in &page {
            let queue = handle.queue_name(summary);
            let state = STATES.iter().zip(&mut counts.states).find(|(name, _)| **name == queue);
            if let Some((_, state)) = state {
                state.add(now.since(summary.id.time));
            }
        }
        tokio::task::yield_now().await;
    }
    counts
}

impl Counts {
    /// Writes the families.
    pub fn write(&self, page: &mut Page) {
        let (messages, by_age) = ("hikyaku_queue_messages", "hikyaku_queue_messages_by_age");
        page.family(messages, "gauge", "Messages in the queue by state.");
        for (name, state) in STATES.iter().zip(&self.states) {
            page.series(messages, &[("state", name.as_str())], state.total());
        }
        page.family(
            by_age,
            "gauge",
            "Messages in the queue by state and age: each counts under the first age that it is below.",
        );
        for (name, state) in STATES.iter().zip(&self.states) {
            for ((_, age), n) in AGES.iter().zip(state.by_age) {
                page.series(by_age, &[("state", name.as_str()), ("age", age)], n);
            }
        }
        let oldest = "hikyaku_queue_oldest_seconds";
        page.family(oldest, "gauge", "Age of the oldest message by state.");
        for (name, state) in STATES.iter().zip(&self.states) {
            page.series(oldest, &[("state", name.as_str())], state.oldest.as_secs());
        }
        self.write_destinations(page);
    }
}

impl Counts {
    fn write_destinations(&self, page: &mut Page) {
        let (waiting, running) = ("hikyaku_destination_messages", "hikyaku_destination_deliveries");
        page.family(waiting, "gauge", "Active messages that wait for a next hop; the busiest next hops.");
        for b in &self.busiest {
            page.series(waiting, &[("transport", &b.transport), ("nexthop", &b.nexthop)], b.waiting);
        }
        page.family(running, "gauge", "Deliveries under way to a next hop; the busiest next hops.");
        for b in &self.busiest {
            page.series(running, &[("transport", &b.transport), ("nexthop", &b.nexthop)], b.running);
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, state) in STATES.iter().zip(&self.states) {
            write!(f, "{} {}, ", state.total(), name.as_str())?;
        }
        let oldest = self.states.iter().map(|s| s.oldest).max().unwrap_or_default();
        write!(f, "oldest {}", super::health::duration(oldest))
    }
}
