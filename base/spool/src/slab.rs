//! The table of messages in memory: 40 bytes for each, found by the slot in its queue id.
//!
//! A slot is reserved by a draft, live while its message is in the queue, dying from the call to remove it until the
//! writer has recorded that. Freed slots are reused oldest first, and only when many wait, so that short queue ids
//! do not repeat soon.

use crate::{
    Summary,
    format::{Place, Record, flag},
};
use base_calls::{QueueId, Timestamp};
use std::collections::VecDeque;

/// Slots that wait before the oldest is used again.
const QUARANTINE: usize = 1024;

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Free,
    Reserved,
    Live,
    Dying,
}

/// A message in the table.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    time: u64,
    /// Its message record.
    pub(crate) place: Place,
    /// Its newest change record.
    pub(crate) change: Place,
    /// Size of its message record.
    pub(crate) size: u32,
    /// No attempt before this second.
    pub(crate) retry_at: u32,
    /// Change records in the chain.
    pub(crate) chain: u16,
    /// Changes on their way to the writer.
    pub(crate) queued: u16,
    /// [`flag`]s.
    pub(crate) flags: u8,
    state: State,
}

/// The table.
#[derive(Default)]
pub(crate) struct Slab {
    slots: Vec<Entry>,
    free: VecDeque<u32>,
    /// Live messages.
    pub(crate) live: u64,
    /// Of these, held.
    pub(crate) held: u64,
    /// The latest time given out.
    pub(crate) last_time: u64,
}

impl Slab {
    /// A new id; `None` when all 2^32 slots are taken.
    pub(crate) fn reserve(&mut self, long: bool, now: Timestamp) -> Option<QueueId> {
        let slot = match (self.free.len() > QUARANTINE).then(|| self.free.pop_front()).flatten() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.slots.len()).ok()?;
                self.slots.push(Entry::default());
                slot
            }
        };
        self.last_time = now.0.max(self.last_time.saturating_add(1));
        let entry = self.slots.get_mut(slot as usize)?;
        *entry = Entry { time: self.last_time, state: State::Reserved, ..Entry::default() };
        Some(QueueId { time: Timestamp(self.last_time), slot, long })
    }

    /// Gives back a reserved or dying slot.
    pub(crate) fn release(&mut self, id: QueueId) {
        if let Some(entry) = self.slots.get_mut(id.slot as usize)
            && entry.time == id.time.0
            && matches!(entry.state, State::Reserved | State::Dying)
        {
            *entry = Entry::default();
            self.free.push_back(id.slot);
        }
    }

    /// Slots that drafts have.
    pub(crate) fn reserved(&self) -> impl Iterator<Item = u32> {
        let slots = (0u32..).zip(&self.slots);
        slots.filter(|(_, e)| e.state == State::Reserved).map(|(slot, _)| slot)
    }

    /// During recovery: a draft of another process has this slot, unless its message is there.
    pub(crate) fn keep(&mut self, slot: u32) {
        let at = slot as usize;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, Entry::default());
        }
        if let Some(entry) = self.slots.get_mut(at).filter(|e| e.state == State::Free) {
            entry.state = State::Reserved;
        }
    }

    /// The reserved slot of `id` gets the time that another process gave the message.
    pub(crate) fn claim(&mut self, id: QueueId) -> bool {
        let entry = self.slots.get_mut(id.slot as usize).filter(|e| e.state == State::Reserved);
        self.last_time = self.last_time.max(id.time.0);
        entry.map(|entry| entry.time = id.time.0).is_some()
    }

    /// Another process does not need this reserved slot any more.
    pub(crate) fn give_back(&mut self, slot: u32) {
        if let Some(entry) = self.slots.get_mut(slot as usize).filter(|e| e.state == State::Reserved) {
            *entry = Entry::default();
            self.free.push_back(slot);
        }
    }

    /// The reserved slot of `id` becomes a live message.
    pub(crate) fn insert(&mut self, id: QueueId, entry: Entry) {
        if let Some(slot) = self.slots.get_mut(id.slot as usize) {
            *slot = Entry { time: id.time.0, state: State::Live, ..entry };
            self.live += 1;
            self.held += u64::from(entry.flags & flag::HELD != 0);
        }
    }

    /// Puts a recovered message into its slot, growing the table. A message that was there is replaced.
    pub(crate) fn restore(&mut self, id: QueueId, entry: Entry) {
        let at = id.slot as usize;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, Entry::default());
        }
        if let Some(old) = self.slots.get(at).filter(|e| e.state == State::Live) {
            self.live -= 1;
            self.held -= u64::from(old.flags & flag::HELD != 0);
        }
        self.insert(id, entry);
    }

    /// After recovery: lists all unused slots as free.
    pub(crate) fn list_free(&mut self) {
        let slots = self.slots.iter().enumerate();
        self.free = slots.filter(|(_, e)| e.state == State::Free).map(|(i, _)| i as u32).collect();
    }

    /// The live message `id`.
    pub(crate) fn get(&self, id: QueueId) -> Option<&Entry> {
        self.slots.get(id.slot as usize).filter(|e| e.time == id.time.0 && e.state == State::Live)
    }

    /// The message `id`, live or dying.
    pub(crate) fn get_any(&self, id: QueueId) -> Option<&Entry> {
        let known = |e: &&Entry| matches!(e.state, State::Live | State::Dying);
        self.slots.get(id.slot as usize).filter(|e| e.time == id.time.0).filter(known)
    }

    /// The message `id`, live or dying, to update its places. Flags are changed by [`Slab::update`].
    pub(crate) fn get_mut(&mut self, id: QueueId) -> Option<&mut Entry> {
        let known = |e: &&mut Entry| matches!(e.state, State::Live | State::Dying);
        self.slots.get_mut(id.slot as usize).filter(|e| e.time == id.time.0).filter(known)
    }

    /// Sets what [`Summary`] shows of a live message.
    pub(crate) fn update(&mut self, id: QueueId, flags: u8, retry_at: u32) {
        let Some(entry) = self.get_mut(id).filter(|e| e.state == State::Live) else { return };
        let was = entry.flags & flag::HELD != 0;
        entry.flags = flags;
        entry.retry_at = retry_at;
        self.held = self.held + u64::from(flags & flag::HELD != 0) - u64::from(was);
    }

    /// A live message is about to be removed: nobody but the writer sees it any more.
    pub(crate) fn dying(&mut self, id: QueueId) -> bool {
        let Some(entry) = self.get_mut(id).filter(|e| e.state == State::Live) else { return false };
        entry.state = State::Dying;
        let held = entry.flags & flag::HELD != 0;
        self.live -= 1;
        self.held -= u64::from(held);
        true
    }

    /// The live message in a slot.
    pub(crate) fn at(&self, slot: u32) -> Option<QueueId> {
        self.slots.get(slot as usize).filter(|e| e.state == State::Live).map(|e| e.id(slot))
    }

    /// Live messages from a slot on.
    pub(crate) fn list(&self, from: u32, max: usize) -> Vec<Summary> {
        let slots = self.slots.iter().enumerate().skip(from as usize);
        slots.filter(|(_, e)| e.state == State::Live).map(|(i, e)| e.summary(i as u32)).take(max).collect()
    }
}

impl Entry {
    /// A message whose record is at `place`.
    pub(crate) fn at(place: Place, size: u64, record: &Record) -> Self {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        Self { place, size, retry_at: record.retry_at, flags: record.flags, ..Self::default() }
    }

    fn id(&self, slot: u32) -> QueueId {
        QueueId { time: Timestamp(self.time), slot, long: self.flags & flag::LONG != 0 }
    }

    fn summary(&self, slot: u32) -> Summary {
        Summary {
            id: self.id(slot),
            held: self.flags & flag::HELD != 0,
            retry_at: Timestamp::from_secs(u64::from(self.retry_at)),
            expired: (self.flags & flag::EXPIRED != 0).then_some(self.flags & flag::EXPIRED_FORCE != 0),
            changed: self.chain > 0 || self.flags & flag::CHANGED != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 40, "{}", size_of::<Entry>());
    }

    #[test]
    fn slots_are_not_reused_soon_and_times_always_rise() {
        let mut slab = Slab::default();
        let mut last = 0;
        for n in 0..3000u64 {
            let id = slab.reserve(false, Timestamp(1_000_000 - n)).unwrap();
            assert!(id.time.0 > last);
            last = id.time.0;
            slab.release(id);
        }
        assert_eq!(slab.slots.len(), QUARANTINE + 1);
    }
}
