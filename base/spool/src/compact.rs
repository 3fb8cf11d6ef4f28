//! Compaction: what is alive in a sparse segment is written again at the end, so that its file can be reused; and long
//! chains of changes are folded into one record.
//!
//! Runs on the writer thread in small steps between batches, when the files hold four times what is alive, and at
//! once for a segment whose sync failed. A message moves together with its folded changes; a change whose message
//! is elsewhere makes that message's whole chain fold; a removal moves while the segment it speaks of is in use.

use crate::{
    format::{FIRST_RECORD, Kind, Place, Placed, Record, aux, flag},
    read, recover,
    segments::Segments,
    shared::{Op, encode_changes},
    slab::{Entry, Slab},
    writer::Writer,
};
use base_calls::QueueId;
use std::time::{Duration, Instant};

/// A chain longer than this is folded.
pub(crate) const FOLD_AT: u16 = 16;
/// How often to look for sparse segments.
pub(crate) const EVERY: Duration = Duration::from_millis(200);
/// Bytes rewritten in one step.
const STEP: usize = 256 << 10;
/// Segments beyond four times what is alive, before compaction starts.
const SLACK_SEGMENTS: u64 = 4;

/// A segment that is being emptied.
pub(crate) struct Compaction {
    number: u32,
    generation: u64,
    records: std::vec::IntoIter<Placed>,
}

impl Writer {
    /// Does a bit of what is due: folding, or compaction.
    pub(crate) fn compact_step(&mut self) {
        if let Some(id) = self.to_fold.pop() {
            let op = self.fold_of(id);
            self.pending.extend(op);
        } else if self.compaction.is_some() || self.start_compaction() {
            self.gather_step();
        }
        if !self.pending.is_empty() {
            self.write_pending();
            self.sync();
            self.reclaim();
        }
    }

    fn start_compaction(&mut self) -> bool {
        if self.look_at.is_none_or(|at| at > Instant::now()) {
            return false;
        }
        self.look_at = None;
        // On a full disk the rest of the current segment, or the reserve, must take what is moved.
        let most = if self.is_crowded() { self.room_when_full() / 2 } else { u64::MAX };
        let candidate = {
            let state = self.shared.state();
            let (live, all) = state.segments.bytes();
            let slack = SLACK_SEGMENTS * self.shared.options.segment_size;
            let failed = state.segments.used.values().any(|s| s.failed && s.closed);
            let sparse = all > live.saturating_mul(4).saturating_add(slack);
            let due = sparse || failed || self.is_crowded();
            let number = if due { state.segments.sparsest(most) } else { None };
            number.and_then(|n| state.segments.used.get(&n)).map(|s| (s.number, s.generation, s.file.clone()))
        };
        let Some((number, generation, file)) = candidate else { return false };
        let Ok(found) = recover::records_of(file.as_ref(), generation) else { return false };
        self.compaction = Some(Compaction { number, generation, records: found.records.into_iter() });
        self.look_at = Some(Instant::now());
        true
    }

    /// Bytes that can be written without new space.
    fn room_when_full(&self) -> u64 {
        let state = self.shared.state();
        let reserve = state.segments.reserve.as_ref().map_or(0, |s| s.allocated.saturating_sub(FIRST_RECORD));
        let current = self.current.as_ref().and_then(|c| {
            let allocated = state.segments.used.get(&c.number)?.allocated;
            Some(allocated.saturating_sub(c.end))
        });
        reserve.max(current.unwrap_or(0))
    }

    /// Turns the next records of the segment into operations.
    fn gather_step(&mut self) {
        let Some(mut work) = self.compaction.take() else { return };
        if self.shared.state().segments.generation(work.number) != Some(work.generation) {
            return;
        }
        let mut bytes = 0;
        while let Some(placed) = work.records.next() {
            let place = Place { segment: work.number, offset: placed.offset };
            if let Some(op) = self.rewrite(&work, placed.record, place) {
                bytes += op.payload_len() + crate::format::RECORD_HEADER;
                self.pending.push_back(op);
            }
            if bytes >= STEP {
                self.compaction = Some(work);
                return;
            }
        }
        if let Some(segment) = self.shared.state().segments.used.get_mut(&work.number) {
            segment.tried = true;
        }
    }

    /// What must be written so that the record at `place` is no longer needed.
    fn rewrite(&mut self, work: &Compaction, record: Record, place: Place) -> Option<Op> {
        let id = record.id();
        match record.kind {
            Kind::Removal => {
                let state = self.shared.state();
                let needed =
                    record.aux != work.generation && state.segments.by_generation.contains_key(&record.aux);
                needed.then_some(Op::Keep { record, from: work.number })
            }
            Kind::Message => {
                let entry = *self.shared.state().slab.get(id).filter(|e| e.place == place)?;
                self.move_of(id, &entry)
            }
            Kind::Change => {
                let entry = *self.shared.state().slab.get(id)?;
                let same =
                    |op: &Op| matches!(op, Op::Fold { id: i, .. } | Op::Move { id: i, .. } if *i == id);
                if self.pending.iter().any(same) {
                    return None;
                }
                let chain = self.shared.chain(id, entry.change).ok()?;
                if chain.iter().any(|(at, _)| *at == place) { self.fold_of(id) } else { None }
            }
        }
    }

    /// The message record of `id` with its changes folded in.
    fn move_of(&mut self, id: QueueId, entry: &Entry) -> Option<Op> {
        let moved = self.shared.message_record(id, entry).and_then(|stored| {
            let parts = read::parts(&stored).ok_or("malformed message record")?;
            let changes = self.shared.changes(id, entry, &parts)?;
            let held = stored.record.flags & flag::HELD != 0;
            Ok((stored, parts, changes, held))
        });
        let (stored, parts, changes, held) = match moved {
            Ok(moved) => moved,
            Err(why) => {
                self.shared.set_aside(id, entry, why);
                return None;
            }
        };
        let folded =
            if changes.is_empty() { Vec::new() } else { encode_changes(&read::fold(&changes, held)) };
        let accepted = parts.accepted.0.to_le_bytes();
        let payload = [&accepted[..], &parts.envelope, &folded, &parts.rest].concat();
        let changed = if changes.is_empty() { 0 } else { flag::CHANGED };
        let record = Record {
            flags: entry.flags | changed,
            len: u32::try_from(payload.len()).ok()?,
            crc: crc32fast::hash(&payload),
            aux: aux(stored.record.pair().0, u32::try_from(folded.len()).ok()?),
            retry_at: entry.retry_at,
            ..stored.record
        };
        Some(Op::Move { id, record, payload, from: entry.place })
    }

    /// One change record in place of the chain of `id`.
    fn fold_of(&mut self, id: QueueId) -> Option<Op> {
        let entry = *self.shared.state().slab.get(id).filter(|e| e.change != Place::NONE)?;
        let stored = self.shared.message_record(id, &entry).ok()?;
        let changes = self.shared.changes(id, &entry, &read::parts(&stored)?).ok()?;
        let held = stored.record.flags & flag::HELD != 0;
        let payload = encode_changes(&read::fold_over(&changes, held));
        Some(Op::Fold { id, payload, flags: entry.flags, retry_at: entry.retry_at })
    }

    /// A fold of `id` is durable: the chain before it is dead.
    pub(crate) fn folded(&mut self, id: QueueId, place: Place, size: u64) {
        let Some(entry) = self.shared.state().slab.get_any(id).copied() else { return };
        let chain = self.shared.chain(id, entry.change).unwrap_or_default();
        let mut state = self.shared.state();
        for (old, stored) in chain {
            state.segments.dead(old.segment, stored.record.size());
        }
        state.segments.alive(place.segment, size);
        if let Some(entry) = state.slab.get_mut(id) {
            entry.change = place;
            entry.chain = 1;
        }
    }

    /// A message's copy is durable: the old record and the chain are dead.
    pub(crate) fn moved(&mut self, id: QueueId, record: &Record, from: Place, place: Place, size: u64) {
        let Some(entry) = self.shared.state().slab.get_any(id).copied().filter(|e| e.place == from) else {
            return;
        };
        let chain = self.shared.chain(id, entry.change).unwrap_or_default();
        let mut state = self.shared.state();
        move_accounts(&mut state.segments, &entry, place, size);
        for (old, stored) in chain {
            state.segments.dead(old.segment, stored.record.size());
        }
        move_entry(&mut state.slab, id, record, place, size);
    }
}

fn move_accounts(segments: &mut Segments, entry: &Entry, place: Place, size: u64) {
    segments.dead(entry.place.segment, entry.size.into());
    segments.alive(place.segment, size);
    // The old copy may still be read at a start: the new one may not go before it.
    if let Some(generation) = segments.generation(entry.place.segment) {
        segments.need(place.segment, generation);
    }
}

fn move_entry(slab: &mut Slab, id: QueueId, record: &Record, place: Place, size: u64) {
    if let Some(entry) = slab.get_mut(id) {
        entry.place = place;
        entry.size = size as u32;
        entry.change = Place::NONE;
        entry.chain = 0;
        entry.flags |= record.flags & flag::CHANGED;
    }
}
