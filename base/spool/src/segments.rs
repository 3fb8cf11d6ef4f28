//! The segment files in use, what is alive in each, and when one may be emptied.
//!
//! A segment may be used again when no message or change record in it is alive and no removal record in it is needed.
//! A removal is needed while the segment that holds the removed message is in use: without it the message would rise
//! again at the next start. `needs` counts, for each generation, the removals (and copies made by compaction) that
//! wait for that generation to go. Such needs point to older segments only, so they never form a circle.

use crate::{disk::DiskFile, format::RECORD_HEADER};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// One segment file in use.
pub(crate) struct Segment {
    /// Number in its file name.
    pub(crate) number: u32,
    /// Generation of this use.
    pub(crate) generation: u64,
    /// The file.
    pub(crate) file: Arc<dyn DiskFile>,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// Bytes of the file that are written, so that writing them again needs no new space.
    pub(crate) allocated: u64,
    /// Bytes of live message and change records.
    pub(crate) live: u64,
    /// How many records here must stay until that generation is gone.
    pub(crate) needs: HashMap<u64, u64>,
    /// No more records go here.
    pub(crate) closed: bool,
    /// A sync failed: the file is deleted instead of reused, and emptied as soon as possible.
    pub(crate) failed: bool,
    /// Compaction was through with it and could not empty it.
    pub(crate) tried: bool,
}

/// A segment file that waits to be used.
pub(crate) struct Spare {
    pub(crate) number: u32,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) allocated: u64,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Segments {
    /// In use, by number.
    pub(crate) used: HashMap<u32, Segment>,
    /// Number by generation, of those in use.
    pub(crate) by_generation: BTreeMap<u64, u32>,
    /// Free.
    pub(crate) spare: Vec<Spare>,
    /// Kept for removals and changes when the disk is full.
    pub(crate) reserve: Option<Spare>,
    /// The highest number of any file.
    pub(crate) last_number: u32,
    /// Something may have become free.
    pub(crate) check: bool,
}

impl Segments {
    /// Takes a segment into use.
    pub(crate) fn add(&mut self, segment: Segment) {
        self.last_number = self.last_number.max(segment.number);
        self.by_generation.insert(segment.generation, segment.number);
        self.used.insert(segment.number, segment);
    }

    /// A record of `bytes` in `segment` came alive.
    pub(crate) fn alive(&mut self, segment: u32, bytes: u64) {
        if let Some(s) = self.used.get_mut(&segment) {
            s.live += bytes;
        }
    }

    /// A record of `bytes` in `segment` died.
    pub(crate) fn dead(&mut self, segment: u32, bytes: u64) {
        if let Some(s) = self.used.get_mut(&segment) {
            s.live = s.live.saturating_sub(bytes);
            self.check |= s.live == 0;
        }
    }

    /// `segment` must stay until `generation` is gone. Nothing when that is gone already or is its own.
    pub(crate) fn need(&mut self, segment: u32, generation: u64) {
        if let Some(s) = self.used.get_mut(&segment)
            && s.generation != generation
            && self.by_generation.contains_key(&generation)
        {
            *s.needs.entry(generation).or_default() += 1;
        }
    }

    /// One of the records in `segment` that wait for `generation` is now elsewhere.
    pub(crate) fn needed_no_more(&mut self, segment: u32, generation: u64) {
        let Some(s) = self.used.get_mut(&segment) else { return };
        if let Some(count) = s.needs.get_mut(&generation) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                s.needs.remove(&generation);
                self.check = true;
            }
        }
    }

    /// The generation of a segment in use.
    pub(crate) fn generation(&self, segment: u32) -> Option<u64> {
        self.used.get(&segment).map(|s| s.generation)
    }

    /// Removes from use, and from all needs, the segment with this number.
    pub(crate) fn take(&mut self, number: u32) -> Option<Segment> {
        let segment = self.used.remove(&number)?;
        self.by_generation.remove(&segment.generation);
        for other in self.used.values_mut() {
            other.needs.remove(&segment.generation);
        }
        self.check = true;
        Some(segment)
    }

    /// The oldest closed segment in which nothing is alive or needed. Before anything is written (`unwritten`) the newest one stays while
    /// there is another to be used: it has the last record (`ahead`).
    pub(crate) fn dead_one(&self, unwritten: bool) -> Option<u32> {
        let kept =
            if unwritten && !self.spare.is_empty() { self.by_generation.values().next_back() } else { None };
        let dead = |s: &&Segment| s.closed && s.live == 0 && s.needs.is_empty() && Some(&s.number) != kept;
        self.by_generation.values().filter_map(|n| self.used.get(n)).find(dead).map(|s| s.number)
    }

    /// Bytes of live records, and bytes of the files that hold them.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        self.used.values().fold((0, 0), |(live, all), s| (live + s.kept(), all + s.end))
    }

    /// The closed segment with the smallest share of bytes that must be kept, if that is under half, and those are at
    /// most `most`; failed ones first.
    pub(crate) fn sparsest(&self, most: u64) -> Option<u32> {
        let share = |s: &Segment| if s.failed { 0 } else { s.kept().saturating_mul(1000) / s.end.max(1) };
        let closed = self.used.values().filter(|s| s.closed && !s.tried && s.kept() <= most);
        let best = closed.map(|s| (share(s), s.generation, s.number)).min()?;
        (best.0 < 500).then_some(best.2)
    }
}

impl Segment {
    /// Bytes that compaction would have to write again.
    fn kept(&self) -> u64 {
        self.live + self.needs.values().sum::<u64>() * RECORD_HEADER as u64
    }
}
