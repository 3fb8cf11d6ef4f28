//! Laying out a batch: each operation becomes a record at its place in the current segment.
//!
//! Nothing is written here; the writer does that with the whole buffer, and comes back to what was [`Written`] when the sync
//! is done. Needs that a removal puts on the segment it goes to are counted here, before the write, so that no
//! segment is freed between.

use crate::{
    SpoolError,
    disk::DiskFile,
    format::{FIRST_RECORD, Kind, Place, Placed, Record, align, aux, flag},
    segments::Segment,
    shared::{Commit, Op, Shared},
};
use base_calls::QueueId;
use std::{collections::HashMap, sync::Arc};

/// The segment that gets records.
pub(crate) struct Current {
    pub(crate) number: u32,
    pub(crate) generation: u64,
    pub(crate) end: u64,
    pub(crate) batch: u32,
    /// The writer's turn, see `ahead`.
    pub(crate) turn: u16,
    pub(crate) records: Vec<Placed>,
    /// The reserve: no new messages go here.
    pub(crate) emergency: bool,
}

/// A record that is written and waits for the sync.
pub(crate) struct Written {
    pub(crate) op: Op,
    pub(crate) place: Place,
    pub(crate) size: u64,
    /// The change that was the newest before this one.
    pub(crate) previous: (Place, u16),
}

/// Appends the record of `op` to the batch, or answers it when its message is gone.
pub(crate) fn place(
    shared: &Shared,
    current: &mut Current,
    buffer: &mut Vec<u8>,
    unsynced: &mut Vec<Written>,
    chains: &mut HashMap<QueueId, (Place, u16)>,
    op: Op,
) {
    let offset = current.end + buffer.len() as u64;
    let place = Place { segment: current.number, offset: u32::try_from(offset).unwrap_or(u32::MAX) };
    let mut previous = (Place::NONE, 0);
    let record = match &op {
        Op::Commit(c) => c.record,
        Op::Move { record, .. } => *record,
        Op::Barrier(_) => return,
        Op::Keep { record, .. } => {
            shared.state().segments.need(current.number, record.aux);
            *record
        }
        Op::Change { id, payload, flags, retry_at, .. } => {
            let known = shared.state().slab.get_any(*id).map(|e| (e.change, e.chain));
            let Some(known) = known else { return answer_gone(op) };
            previous = chains.get(id).copied().unwrap_or(known);
            chains.insert(*id, (place, previous.1.saturating_add(1)));
            change_record(*id, payload, *flags, *retry_at, previous.0)
        }
        Op::Fold { id, payload, flags, retry_at } => {
            if shared.state().slab.get_any(*id).is_none() {
                return;
            }
            change_record(*id, payload, *flags, *retry_at, Place::NONE)
        }
        Op::Remove { id } => {
            let mut state = shared.state();
            let Some(segment) = state.slab.get_any(*id).map(|e| e.place.segment) else { return };
            let Some(generation) = state.segments.generation(segment) else { return };
            state.segments.need(current.number, generation);
            Record { aux: generation, ..Record::about(Kind::Removal, *id) }
        }
        Op::Bury { id, generation, large } => {
            let mut state = shared.state();
            if !state.segments.by_generation.contains_key(generation) {
                drop(state);
                return if *large {
                    shared.delete_large(*id)
                };
            }
            state.segments.need(current.number, *generation);
            Record { aux: *generation, ..Record::about(Kind::Removal, *id) }
        }
    };
    let record = Record { batch: current.batch, turn: current.turn, ..record };
    buffer.extend_from_slice(&record.encode(current.generation, offset));
    match &op {
        Op::Commit(c) => {
            let Commit { prefix, content, .. } = c.as_ref();
            buffer.extend_from_slice(prefix);
            buffer.extend_from_slice(content);
        }
        Op::Change { payload, .. } | Op::Move { payload, .. } | Op::Fold { payload, .. } => {
            buffer.extend_from_slice(payload);
        }
        Op::Remove { .. } | Op::Bury { .. } | Op::Keep { .. } | Op::Barrier(_) => {}
    }
    buffer.resize(align(buffer.len() as u64) as usize, 0);
    current.records.push(Placed { offset: place.offset, record });
    unsynced.push(Written { op, place, size: record.size(), previous });
}

fn answer_gone(op: Op) {
    if let Op::Change { done: Some(done), .. } = op {
        let _ = done.send(Err(SpoolError::NotFound));
    }
}

pub(crate) fn change_record(
    id: QueueId,
    payload: &[u8],
    flags: u8,
    retry_at: u32,
    previous: Place,
) -> Record {
    Record {
        flags: flags & !flag::LARGE | if id.long { flag::LONG } else { 0 },
        len: payload.len() as u32,
        crc: crc32fast::hash(payload),
        aux: aux(previous.segment, previous.offset),
        retry_at,
        ..Record::about(Kind::Change, id)
    }
}

/// A segment that just came into use.
pub(crate) fn in_use(number: u32, generation: u64, file: Arc<dyn DiskFile>, allocated: u64) -> Segment {
    Segment {
        number,
        generation,
        file,
        end: FIRST_RECORD,
        allocated,
        live: 0,
        needs: HashMap::new(),
        closed: false,
        failed: false,
        tried: false,
    }
}
