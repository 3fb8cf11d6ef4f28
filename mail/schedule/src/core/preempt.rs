//! A message with few deliveries goes past one with many (SCHEDULER_README "How the preemption works").
//!
//! Pure. Looked for only while a message is delivered that is big enough to let others pass; a look through the line that
//! finds nobody is not repeated for a moment.

use super::Core;
use crate::work::Order;
use base_calls::Timestamp;
use std::time::Duration;

/// Pause after a look through the line that found nobody to go first.
const SEARCH_PAUSE: Duration = Duration::from_millis(100);

impl<M: Clone> Core<M> {
    /// The message that goes past the current one, moved in front of it.
    pub(super) fn preempt(&mut self, now: Timestamp, t: usize, current: usize) -> Option<usize> {
        let transport = &self.transports[t];
        let rules = transport.limits.slots;
        let work = self.works.get(current)?;
        let (search_at, slots) = transport.search_at;
        if transport.current != Some(current) || transport.line.len() < 2 || search_at > now {
            return None;
        }
        let most = work.slots.most(work.entries, &rules)?;
        if !work.slots.allow(slots, &rules) {
            return None;
        }
        let Some((w, needed)) = self.candidate(now, t, current, most) else {
            self.transports[t].search_at = (now.plus(SEARCH_PAUSE), 1);
            return None;
        };
        if !work.slots.allow(needed, &rules) {
            self.transports[t].search_at.1 = needed;
            return None;
        }
        let order = work.order.before(self.places + 1)?;
        self.places += 1;
        self.works.get_mut(current)?.slots.spend(needed, &rules);
        self.move_to(now, w, order);
        Some(w)
    }

    /// The message that has waited longest for each of its deliveries, among those that could go past `current`;
    /// how many deliveries it needs.
    fn candidate(&self, now: Timestamp, t: usize, current: usize, most: usize) -> Option<(usize, usize)> {
        let transport = &self.transports[t];
        let may_start =
            |d: &usize| self.destinations.get(*d).is_some_and(|d| d.room(now, &transport.limits) > 0);
        let mut best: Option<(usize, usize, u128)> = None;
        for &(_, w) in &transport.line {
            let Some(work) = self.works.get(w).filter(|work| w != current && work.entries <= most) else {
                continue;
            };
            if work.ready.is_empty() && !work.parked.keys().any(may_start) {
                continue;
            }
            let age = now.since(work.since).as_micros() + 1;
            let wins = |(_, few, old): (usize, usize, u128)| age * few as u128 > old * work.entries as u128;
            if best.is_none_or(wins) {
                best = Some((w, work.entries, age));
            }
        }
        best.map(|(w, needed, _)| (w, needed))
    }

    /// Gives a message another place in the line.
    fn move_to(&mut self, now: Timestamp, w: usize, order: Order) {
        let Some(work) = self.works.get_mut(w) else { return };
        let old = std::mem::replace(&mut work.order, order);
        let transport = &mut self.transports[work.transport];
        transport.line.remove(&(old, w));
        transport.line.insert((order, w));
        if transport.ready.remove(&(old, w)) {
            transport.ready.insert((order, w));
        }
        let parked: Vec<usize> = work.parked.keys().copied().collect();
        for d in parked {
            let Some(destination) = self.destinations.get_mut(d) else { continue };
            destination.queue.remove(&(old, w));
            let limits = &self.transports[destination.transport].limits;
            let work = self.works.get_mut(w);
            match work.filter(|_| destination.room(now, limits) > 0) {
                Some(work) => {
                    // One more than there is room for: whoever comes late goes back to wait.
                    work.ready.extend(work.parked.remove(&d));
                    destination.ready += 1;
                    self.transports[destination.transport].ready.insert((order, w));
                }
                None => {
                    destination.queue.insert((order, w));
                }
            }
        }
    }
}
