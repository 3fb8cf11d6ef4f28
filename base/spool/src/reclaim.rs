//! The life of segment files: taken into use, grown, sealed, and, when nothing in them is alive or needed, freed.
//!
//! Space is written with zeros before records go there, so that a full disk is noticed before anything is promised and
//! appending changes no file size. A freed segment's header is overwritten and synced first; only then do the
//! removals that others keep for it lose their purpose. One spare is kept as a reserve: when the disk is full, removals
//! and changes go there, deliveries continue, and that makes room.

use crate::{
    SpoolError,
    batch::{Current, in_use},
    disk::{DiskFile, write_all},
    format::{FIRST_RECORD, SegmentHeader, encode_index},
    segments::Spare,
    writer::Writer,
};
use std::sync::Arc;

/// Files grow by this much.
const CHUNK: u64 = 1 << 20;
/// A file smaller than this is not worth using.
const SMALLEST: u64 = 64 << 10;
/// Size of the reserve.
pub(crate) const RESERVE: u64 = 1 << 20;
/// Free segments kept for reuse; more are deleted.
const SPARES: usize = 4;

/// The name of a segment file.
pub(crate) fn segment_path(number: u32) -> String {
    format!("segments/{number:08}.seg")
}

/// Writes zeros from `from` to `to`; the end of what was written, which is less than `to` when the disk is full.
fn write_zeros(file: &dyn DiskFile, from: u64, to: u64) -> (u64, std::io::Result<()>) {
    let zeros = vec![0; (to.saturating_sub(from)).min(CHUNK) as usize];
    let mut at = from;
    while at < to {
        let n = usize::try_from(to - at).unwrap_or(usize::MAX).min(zeros.len());
        match file.write_at(zeros.get(..n).unwrap_or_default(), at) {
            Ok(0) => return (at, Err(std::io::ErrorKind::StorageFull.into())),
            Ok(n) => at += n as u64,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return (at, Err(e)),
        }
    }
    (at, Ok(()))
}

impl Writer {
    /// Makes sure that the next `bytes` of the current segment are allocated.
    pub(crate) fn allocate(&mut self, bytes: u64) -> Result<(), SpoolError> {
        let Some(current) = &self.current else { return Err(SpoolError::Full) };
        let need = current.end.saturating_add(bytes);
        if need > u64::from(u32::MAX) {
            return Err(SpoolError::Full);
        }
        let (file, from) = {
            let state = self.shared.state();
            let segment = state.segments.used.get(&current.number).ok_or(SpoolError::Closed)?;
            (segment.file.clone(), segment.allocated)
        };
        if need <= from {
            return Ok(());
        }
        let step = CHUNK.min(self.shared.options.segment_size);
        let (to, result) = write_zeros(file.as_ref(), from, need.next_multiple_of(step));
        if let Some(segment) = self.shared.state().segments.used.get_mut(&current.number) {
            segment.allocated = to;
        }
        if to >= need { Ok(()) } else { Ok(result?) }
    }

    /// Seals the current segment and takes another with room for `bytes`. Without `messages` the reserve may be
    /// taken. On an error the current segment stays.
    pub(crate) fn next_segment(&mut self, bytes: u64, messages: bool) -> Result<(), SpoolError> {
        let mut emergency = false;
        let spare = match self.spare(bytes) {
            Ok(spare) => spare,
            Err(e) if messages => return Err(e),
            Err(e) => {
                emergency = true;
                self.shared.state().segments.reserve.take().ok_or(e)?
            }
        };
        let generation = self.new_generation();
        let last_time = self.shared.state().slab.last_time;
        let header = SegmentHeader { generation, last_time, ..SegmentHeader::default() };
        if let Err(e) = write_all(spare.file.as_ref(), &header.block(), 0) {
            self.shared.state().segments.spare.push(spare);
            return Err(e.into());
        }
        self.seal();
        let Spare { number, file, allocated } = spare;
        {
            let mut state = self.shared.state();
            let failed: Vec<u64> =
                state.segments.used.values().filter(|s| s.failed).map(|s| s.generation).collect();
            state.segments.add(in_use(number, generation, file, allocated));
            // What a failed segment holds may be read again at a start: nothing newer may go before it does.
            failed.iter().for_each(|f| state.segments.need(number, *f));
        }
        self.current = Some(Current {
            number,
            generation,
            end: FIRST_RECORD,
            batch: 1,
            turn: self.turn,
            records: Vec::new(),
            emergency,
        });
        self.allocate(bytes)
    }

    /// Rising, and not to be guessed by those who write the content of messages.
    fn new_generation(&mut self) -> u64 {
        use std::hash::{BuildHasher, RandomState};
        let noise = RandomState::new().hash_one(self.next_generation) & 0xffff_ffff;
        self.next_generation += 1;
        self.next_generation << 32 | noise
    }

    /// A free segment file with room for `bytes`, made if there is none.
    fn spare(&mut self, bytes: u64) -> Result<Spare, SpoolError> {
        let known = self.shared.state().segments.spare.pop();
        let number = known.as_ref().map_or_else(|| self.new_number(), |s| s.number);
        let mut spare = match known {
            Some(spare) => spare,
            None => {
                let spare = self.create(number, SMALLEST.min(self.shared.options.segment_size))?;
                self.keep_reserve();
                spare
            }
        };
        let need = FIRST_RECORD + bytes;
        if spare.allocated >= need {
            return Ok(spare);
        }
        let (to, result) = write_zeros(spare.file.as_ref(), spare.allocated, need);
        spare.allocated = spare.allocated.max(to);
        if let Err(e) = result {
            self.keep_or_delete(spare);
            return Err(e.into());
        }
        Ok(spare)
    }

    fn new_number(&self) -> u32 {
        let mut state = self.shared.state();
        state.segments.last_number = state.segments.last_number.saturating_add(1);
        state.segments.last_number
    }

    /// Makes a segment file of `size` zeros, with a durable name.
    fn create(&self, number: u32, size: u64) -> Result<Spare, SpoolError> {
        let path = segment_path(number);
        let file = self.shared.disk.create(&path)?;
        let (allocated, result) = write_zeros(file.as_ref(), 0, size);
        let named = result.and_then(|()| self.shared.disk.sync_dir("segments"));
        if let Err(e) = named {
            let _ = self.shared.disk.remove(&path);
            return Err(e.into());
        }
        Ok(Spare { number, file, allocated })
    }

    /// Sets a reserve aside while there is room.
    fn keep_reserve(&self) {
        if self.shared.state().segments.reserve.is_some() {
            return;
        }
        let size = RESERVE.min(self.shared.options.segment_size);
        if let Ok(spare) = self.create(self.new_number(), size) {
            self.shared.state().segments.reserve = Some(spare);
        }
    }

    /// Keeps a free segment as reserve or spare, or deletes it when there are enough.
    fn keep_or_delete(&self, spare: Spare) {
        let mut state = self.shared.state();
        let reserve = RESERVE.min(self.shared.options.segment_size);
        if state.segments.reserve.is_none() && spare.allocated >= reserve {
            state.segments.reserve = Some(spare);
        } else if state.segments.spare.len() < SPARES
            && spare.allocated >= SMALLEST.min(self.shared.options.segment_size)
        {
            state.segments.spare.push(spare);
        } else {
            drop(state);
            let _ = self.shared.disk.remove(&segment_path(spare.number));
        }
    }

    /// Closes the current segment and appends its index. Best effort and unsynced: without an intact index the next
    /// start reads the records themselves.
    pub(crate) fn seal(&mut self) {
        let Some(current) = self.current.take() else { return };
        let file = {
            let mut state = self.shared.state();
            state.segments.check = true;
            let Some(segment) = state.segments.used.get_mut(&current.number) else { return };
            segment.closed = true;
            segment.file.clone()
        };
        let last_time = self.shared.state().slab.last_time;
        let end = write_index(&file, current.generation, last_time, current.end, &current.records);
        if let (Some(end), Some(s)) = (end, self.shared.state().segments.used.get_mut(&current.number)) {
            s.allocated = s.allocated.max(end);
        }
    }

    /// Frees segments in which nothing is alive or needed.
    pub(crate) fn reclaim(&mut self) {
        loop {
            let dead = {
                let mut state = self.shared.state();
                if !std::mem::take(&mut state.segments.check) {
                    return;
                }
                state.segments.dead_one(self.current.is_none())
            };
            let Some(number) = dead else { return };
            self.free(number);
        }
    }

    fn free(&mut self, number: u32) {
        let found = self.shared.state().segments.used.get(&number).map(|s| (s.file.clone(), s.failed));
        let Some((file, failed)) = found else { return };
        let freed = if failed { self.delete_durably(number) } else { mark_free(&file) };
        if freed.is_err() {
            // The disk is in trouble: it stays until the next start, which finds nothing alive in it.
            if let Some(s) = self.shared.state().segments.used.get_mut(&number) {
                s.closed = false;
                s.failed = true;
            }
            self.shared.state().segments.check = true;
            return;
        }
        let taken = self.shared.state().segments.take(number);
        if let Some(s) = taken.filter(|_| !failed) {
            self.keep_or_delete(Spare { number, file: s.file, allocated: s.allocated });
        }
        self.refuse_until = None;
    }

    fn delete_durably(&self, number: u32) -> std::io::Result<()> {
        self.shared.disk.remove(&segment_path(number))?;
        self.shared.disk.sync_dir("segments")
    }
}

/// Overwrites the header so that no start reads the records, and makes that durable.
fn mark_free(file: &Arc<dyn DiskFile>) -> std::io::Result<()> {
    write_all(file.as_ref(), &SegmentHeader::default().block(), 0)?;
    file.sync()
}

/// Appends the index and notes it in the header; where it ends.
pub(crate) fn write_index(
    file: &Arc<dyn DiskFile>,
    generation: u64,
    last_time: u64,
    end: u64,
    records: &[crate::format::Placed],
) -> Option<u64> {
    let index = encode_index(records, generation);
    let index_at = end.next_multiple_of(512);
    let index_len = index.len() as u64;
    write_all(file.as_ref(), &index, index_at).ok()?;
    let header =
        SegmentHeader { generation, last_time, index_at, index_len, index_crc: crc32fast::hash(&index) };
    write_all(file.as_ref(), &header.encode(), 0).ok()?;
    Some(index_at + index_len)
}
