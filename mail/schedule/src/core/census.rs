//! Which destinations have the most to do: for monitors.

use super::{Core, RETRY};
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

/// A next hop of a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Busy {
    /// The transport.
    pub transport: Arc<str>,
    /// The next hop.
    pub nexthop: Arc<str>,
    /// Messages that have a part that waits or may start.
    pub waiting: usize,
    /// Deliveries under way.
    pub running: usize,
}

impl<M> Core<M> {
    /// At most `most` of them, the busiest first; those with nothing to do and those of `retry` are left out.
    pub fn busiest(&self, most: usize) -> Vec<Busy> {
        let mut all: BTreeMap<(&str, &str), Busy> = BTreeMap::new();
        for d in self.destinations.keys().into_iter().filter_map(|at| self.destinations.get(at)) {
            let Some(transport) = self.transports.get(d.transport).filter(|t| &*t.name != RETRY) else {
                continue;
            };
            let busy = all.entry((&transport.name, &d.nexthop)).or_insert_with(|| Busy {
                transport: Arc::clone(&transport.name),
                nexthop: Arc::clone(&d.nexthop),
                waiting: 0,
                running: 0,
            });
            busy.waiting += d.queue.len() + usize::try_from(d.ready).unwrap_or(usize::MAX);
            busy.running += usize::try_from(d.running).unwrap_or(usize::MAX);
        }
        let mut all: Vec<Busy> = all.into_values().filter(|b| b.waiting + b.running > 0).collect();
        all.sort_by_key(|b| Reverse(b.waiting + b.running));
        all.truncate(most);
        all
    }
}
