//! The messages that are on disk only: new ones for which there was no room, and deferred ones that wait for their time.
//!
//! Pure. Sixteen bytes a message; its envelope is loaded from the spool when its turn comes. Entries are never searched:
//! what was deleted, held or tried meanwhile is noticed when it is loaded. A message may have several entries
//! after flushes; the table is cleaned of them when they are many.

use base_calls::{QueueId, Timestamp};
use std::{cmp::Reverse, collections::BinaryHeap, collections::VecDeque};

/// A queue id and a due time in whole seconds; [`FLUSH`] and [`FRESH`] for "now, whatever the spool says".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    due: u32,
    slot: u32,
    /// Arrival time shifted left by one, lowest bit: long id.
    time: u64,
}

/// Asked for by the administrator.
const FLUSH: u32 = 0;
/// Not tried yet, or released.
const FRESH: u32 = 1;

impl Entry {
    fn new(id: QueueId, due: u32) -> Self {
        Self { due, slot: id.slot, time: id.time.0 << 1 | u64::from(id.long) }
    }

    /// A message that was never tried.
    pub fn fresh(id: QueueId) -> Self {
        Self::new(id, FRESH)
    }

    /// The message.
    pub fn id(self) -> QueueId {
        QueueId { time: Timestamp(self.time >> 1), slot: self.slot, long: self.time & 1 == 1 }
    }

    /// A flush asked for it: it is tried even where delivery is suspended (`defer_transports`).
    pub fn is_flush(self) -> bool {
        self.due == FLUSH
    }

    /// It waits for the retry time that the spool knows.
    pub fn is_timed(self) -> bool {
        self.due > FRESH
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Backlog {
    incoming: VecDeque<Entry>,
    /// Messages with many recipients, for which there was no room when their turn came.
    large: VecDeque<Entry>,
    deferred: BinaryHeap<Reverse<Entry>>,
    horizon: u32,
    deferred_next: bool,
    forced: usize,
}

fn whole_secs(t: Timestamp) -> u32 {
    u32::try_from(t.secs()).unwrap_or(u32::MAX)
}

impl Backlog {
    /// A message that was never tried, at the end of the line.
    pub fn push_incoming(&mut self, id: QueueId) {
        self.incoming.push_back(Entry::new(id, FRESH));
    }

    /// A message whose turn has come, with more recipients than there is room for.
    pub fn push_large(&mut self, entry: Entry) {
        self.large.push_back(entry);
    }

    /// Whether a message with many recipients waits for room.
    pub fn has_large(&self) -> bool {
        !self.large.is_empty()
    }

    /// The message with many recipients that has waited longest.
    pub fn pop_large(&mut self) -> Option<Entry> {
        self.large.pop_front()
    }

    /// A message that is not to be tried before `due` (whole seconds, rounded down as Postfix does).
    pub fn push_deferred(&mut self, id: QueueId, due: Timestamp) {
        self.deferred.push(Reverse(Entry::new(id, whole_secs(due).max(FRESH + 1))));
    }

    /// A deferred message that is to be tried now. Earlier entries of it stay and are skipped later.
    pub fn push_forced(&mut self, id: QueueId) {
        self.deferred.push(Reverse(Entry::new(id, FLUSH)));
        self.forced += 1;
        if self.forced > 1024 + self.deferred.len() / 2 {
            self.rebuild(|e| e);
        }
    }

    /// Everything that waits is to be tried now (`postqueue -f`).
    pub fn flush(&mut self) {
        self.rebuild(|e| Entry { due: FLUSH, ..e });
    }

    /// One entry for each message, the earliest.
    fn rebuild(&mut self, change: impl Fn(Entry) -> Entry) {
        let mut all: Vec<Entry> =
            std::mem::take(&mut self.deferred).into_iter().map(|r| change(r.0)).collect();
        all.sort_unstable_by_key(|e| (e.slot, e.time, e.due));
        all.dedup_by_key(|e| (e.slot, e.time));
        self.deferred = all.into_iter().map(Reverse).collect();
        self.forced = 0;
    }

    /// A deferred queue scan (`queue_run_delay`): what is due at `now` may be taken from here on.
    pub fn scan(&mut self, now: Timestamp) {
        self.horizon = whole_secs(now);
    }

    /// The next message to load: new and deferred ones in turn.
    pub fn pop(&mut self) -> Option<Entry> {
        self.deferred_next = !self.deferred_next;
        let taken = if self.deferred_next {
            self.pop_due().or_else(|| self.incoming.pop_front())
        } else {
            self.incoming.pop_front().or_else(|| self.pop_due())
        };
        if self.incoming.is_empty() && self.incoming.capacity() > 4096 {
            self.incoming.shrink_to(64);
        }
        taken
    }

    fn pop_due(&mut self) -> Option<Entry> {
        let due = self.deferred.peek()?.0.due;
        if due > self.horizon {
            return None;
        }
        self.forced = self.forced.saturating_sub(usize::from(due == FLUSH));
        self.deferred.pop().map(|r| r.0)
    }

    /// One that was taken and cannot be loaded yet; before those that wait like it.
    pub fn put_back(&mut self, entry: Entry) {
        if entry.due == FRESH {
            return self.incoming.push_front(entry);
        }
        self.forced += usize::from(entry.due == FLUSH);
        self.deferred.push(Reverse(entry));
    }

    /// Whether new messages wait.
    pub fn has_incoming(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// How many new messages wait.
    pub fn incoming(&self) -> usize {
        self.incoming.len()
    }

    /// Entries of all kinds.
    pub fn len(&self) -> usize {
        self.incoming.len() + self.large.len() + self.deferred.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32) -> QueueId {
        QueueId { time: Timestamp(u64::from(slot) + 1_700_000_000_000_000), slot, long: slot % 2 == 1 }
    }

    fn pops(b: &mut Backlog) -> Vec<u32> {
        std::iter::from_fn(|| b.pop()).map(|e| e.id().slot).collect()
    }

    #[test]
    fn small_and_lossless() {
        assert_eq!(size_of::<Entry>(), 16);
        for slot in [0, 1, 77, u32::MAX] {
            assert_eq!(Entry::new(id(slot), 5).id(), id(slot));
        }
    }

    #[test]
    fn new_and_deferred_in_turn() {
        let mut b = Backlog::default();
        (0..4).for_each(|i| b.push_incoming(id(i)));
        (10..12).for_each(|i| b.push_deferred(id(i), Timestamp::from_secs(u64::from(i))));
        b.scan(Timestamp::from_secs(100));
        assert_eq!(pops(&mut b), [10, 0, 11, 1, 2, 3]);
    }

    #[test]
    fn nothing_before_its_time() {
        let mut b = Backlog::default();
        b.push_deferred(id(1), Timestamp(10_900_000));
        b.scan(Timestamp(9_999_999));
        assert_eq!(pops(&mut b), []);
        b.scan(Timestamp::from_secs(10));
        assert_eq!(pops(&mut b), [1]);
    }

    #[test]
    fn flush_takes_all_once() {
        let mut b = Backlog::default();
        (0..3).for_each(|i| b.push_deferred(id(i), Timestamp::from_secs(1_000)));
        b.push_forced(id(1));
        b.flush();
        assert_eq!(pops(&mut b), [0, 1, 2]);
    }

    #[test]
    fn repeated_flushes_do_not_pile_up() {
        let mut b = Backlog::default();
        b.push_deferred(id(7), Timestamp::from_secs(1_000));
        (0..100_000).for_each(|_| b.push_forced(id(7)));
        assert!(b.len() < 5_000, "{}", b.len());
    }
}
