//! The start: reads all segments in the order of their generations and rebuilds the index.
//!
//! A sealed segment is read by its index only, others record by record with all checksums. What is damaged is
//! saved in `corrupt/` and listed; the rest counts. Segments that had no index get one, so that damage is reported
//! once. Nothing is ever appended to an old segment. Without `repair` (a view beside a running server) nothing is
//! written at all.

use crate::{
    Damage, Recovery, SpoolError,
    batch::in_use,
    disk::{Disk, DiskFile, read_range},
    format::{FIRST_RECORD, Kind, Place, Placed, Record, Scan, SegmentHeader, decode_index, flag, scan},
    large, read,
    reclaim::{segment_path, write_index},
    segments::{Segment, Segments, Spare},
    shared::State,
    slab::Entry,
};
use base_calls::{Change, QueueId, codec};
use std::{
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
};

/// A record chain while the start runs: per message the list of its live change records.
struct Link {
    previous: u32,
    place: Place,
    size: u64,
}

const NO_LINK: u32 = u32::MAX;

/// What a start needs besides the index.
pub(crate) struct Recovered {
    pub(crate) state: State,
    pub(crate) report: Recovery,
    pub(crate) next_generation: u64,
    /// The turn of the last record (`ahead`).
    pub(crate) turn: u16,
    /// Changes whose predecessor is lost: to be recorded again over what is left.
    pub(crate) orphans: Vec<(QueueId, Vec<Change>)>,
}

/// The records of a segment: from its index, or by reading it all.
pub(crate) fn records_of(file: &dyn DiskFile, generation: u64) -> io::Result<Scan> {
    let block = read_range(file, 0, FIRST_RECORD as usize)?;
    if let Some(header) = SegmentHeader::of_block(&block).filter(|h| h.generation == generation)
        && let Some(found) = indexed(file, &header)
    {
        return Ok(found);
    }
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    Ok(scan(&read_range(file, 0, len)?, generation))
}

/// Whether no segment was recycled since it was read.
pub(crate) fn is_current(segments: &Segments) -> bool {
    let same = |s: &Segment| {
        let block = read_range(s.file.as_ref(), 0, FIRST_RECORD as usize).unwrap_or_default();
        SegmentHeader::of_block(&block).is_some_and(|h| h.generation == s.generation)
    };
    segments.used.values().all(same)
}

fn indexed(file: &dyn DiskFile, header: &SegmentHeader) -> Option<Scan> {
    let size = file.len().ok()?;
    if header.index_at == 0 || header.index_at.checked_add(header.index_len)? > size {
        return None;
    }
    let bytes = read_range(file, header.index_at, usize::try_from(header.index_len).ok()?).ok()?;
    if bytes.len() as u64 != header.index_len || crc32fast::hash(&bytes) != header.index_crc {
        return None;
    }
    let records = decode_index(&bytes, header.generation)?;
    Some(Scan { records, end: header.index_at, ..Scan::default() })
}

/// A segment file found at the start.
struct Found {
    number: u32,
    file: Arc<dyn DiskFile>,
    header: SegmentHeader,
}

struct Start<'a> {
    disk: &'a dyn Disk,
    repair: bool,
    state: State,
    report: Recovery,
    links: Vec<Link>,
    heads: HashMap<u32, u32>,
    orphans: HashMap<QueueId, Vec<Change>>,
    turn: u16,
}

/// Reads the spool. `Err` only when the folder itself cannot be read.
pub(crate) fn recover(disk: &dyn Disk, repair: bool) -> Result<Recovered, SpoolError> {
    recover_keeping(disk, repair, &HashSet::new())
}

/// The same; slots in `kept`, and their files, belong to drafts of another process.
pub(crate) fn recover_keeping(
    disk: &dyn Disk,
    repair: bool,
    kept: &HashSet<u32>,
) -> Result<Recovered, SpoolError> {
    let mut start = Start {
        disk,
        repair,
        state: State::default(),
        report: Recovery::default(),
        links: Vec::new(),
        heads: HashMap::new(),
        orphans: HashMap::new(),
        turn: 0,
    };
    let mut found = start.segments()?;
    found.sort_by_key(|f| f.header.generation);
    let newest = found.last().map_or(0, |f| f.header.generation);
    for segment in found {
        start.read_segment(segment);
    }
    start.check_large(kept)?;
    start.count_live();
    kept.iter().for_each(|slot| start.state.slab.keep(*slot));
    start.state.slab.list_free();
    start.state.segments.check = true;
    start.report.messages = start.state.slab.live;
    let orphans = start.orphans.into_iter().filter(|(id, _)| start.state.slab.get(*id).is_some()).collect();
    let Start { state, report, turn, .. } = start;
    Ok(Recovered { state, report, next_generation: newest >> 32, turn, orphans })
}

impl Start<'_> {
    /// Opens all segment files; free ones become spares, unreadable ones are set aside.
    fn segments(&mut self) -> Result<Vec<Found>, SpoolError> {
        let mut found = Vec::new();
        let mut names = self.disk.list("segments")?;
        names.sort();
        for name in names {
            let Some(number) = name.strip_suffix(".seg").and_then(|n| n.parse::<u32>().ok()) else {
                continue;
            };
            self.state.segments.last_number = self.state.segments.last_number.max(number);
            match self.open(number) {
                Ok(Some(f)) => found.push(f),
                Ok(None) => {}
                Err(reason) => self.set_segment_aside(number, reason),
            }
        }
        Ok(found)
    }

    fn open(&mut self, number: u32) -> Result<Option<Found>, String> {
        let file = self.disk.open(&segment_path(number), self.repair).map_err(|e| e.to_string())?;
        let block = read_range(file.as_ref(), 0, FIRST_RECORD as usize).map_err(|e| e.to_string())?;
        let header = match SegmentHeader::of_block(&block) {
            Some(header) => header,
            None if block.iter().all(|b| *b == 0) => SegmentHeader::default(),
            None => return Err("damaged segment header".into()),
        };
        if header.generation == 0 {
            let allocated = file.len().map_err(|e| e.to_string())?;
            self.state.segments.spare.push(Spare { number, file, allocated });
            return Ok(None);
        }
        self.state.slab.last_time = self.state.slab.last_time.max(header.last_time);
        Ok(Some(Found { number, file, header }))
    }

    fn set_segment_aside(&mut self, number: u32, reason: String) {
        let name = format!("corrupt/segment-{number:08}");
        if self.repair {
            let _ = self.disk.create_dir("corrupt");
            let _ = self.disk.rename(&segment_path(number), &name);
        }
        self.report.damage.push(Damage { id: None, file: self.disk.full_path(&name), reason });
    }

    fn read_segment(&mut self, segment: Found) {
        let Found { number, file, header } = segment;
        let sealed = indexed(file.as_ref(), &header);
        let had_index = sealed.is_some();
        let found = match sealed.map_or_else(|| records_of(file.as_ref(), header.generation), Ok) {
            Ok(found) => found,
            Err(e) => return self.set_segment_aside(number, e.to_string()),
        };
        let mut size = file.len().unwrap_or(found.end);
        let mut used = in_use(number, header.generation, file.clone(), size);
        used.end = found.end;
        used.closed = true;
        self.state.segments.add(used);
        self.report.torn_bytes += found.torn;
        for (at, len, record) in &found.damage {
            self.save_damage(number, file.as_ref(), *at, *len, record.as_ref());
        }
        self.turn = found.records.last().map_or(self.turn, |last| last.record.turn);
        let mut kept = found.records;
        kept.retain(|placed| self.replay(number, placed));
        if self.repair && !had_index {
            let last = self.state.slab.last_time;
            let end = write_index(&file, header.generation, last, found.end, &kept);
            size = size.max(end.unwrap_or(0));
            if let Some(s) = self.state.segments.used.get_mut(&number) {
                s.allocated = size;
            }
        }
    }

    fn save_damage(&mut self, number: u32, file: &dyn DiskFile, at: u64, len: u64, record: Option<&Record>) {
        let id = record.filter(|r| r.kind == Kind::Message).map(Record::id);
        let label = id.map_or_else(|| "record".to_owned(), |id| id.to_string());
        let name = format!("corrupt/{label}-{number:08x}-{at:08x}");
        if self.repair {
            let bytes =
                read_range(file, at, usize::try_from(len).unwrap_or(0).min(64 << 20)).unwrap_or_default();
            read::save(self.disk, &name, &bytes);
        }
        let reason = if record.is_some() { "checksum error" } else { "damaged record header" };
        self.report.damage.push(Damage { id, file: self.disk.full_path(&name), reason: reason.into() });
    }

    /// Applies a record; whether it counts.
    fn replay(&mut self, segment: u32, placed: &Placed) -> bool {
        let record = &placed.record;
        let place = Place { segment, offset: placed.offset };
        self.state.slab.last_time = self.state.slab.last_time.max(record.time);
        match record.kind {
            Kind::Message => self.message(place, record),
            Kind::Change => return self.change(place, record),
            Kind::Removal => self.removal(place, record),
        }
        true
    }

    fn message(&mut self, place: Place, record: &Record) {
        let id = record.id();
        if let Some(old) = self.state.slab.get(id).copied() {
            // A copy made by compaction: the older one may not outlive it.
            if let Some(generation) = self.state.segments.generation(old.place.segment) {
                self.state.segments.need(place.segment, generation);
            }
        }
        self.heads.remove(&id.slot);
        self.orphans.remove(&id);
        self.state.slab.restore(id, Entry::at(place, record.size(), record));
    }

    /// A change whose predecessor is missing: when something is damaged, what it says is kept and recorded again over
    /// what is left; else both belong to a torn batch, and it is dropped with the other.
    fn change(&mut self, place: Place, record: &Record) -> bool {
        let id = record.id();
        let Some(entry) = self.state.slab.get(id).copied() else { return true };
        let previous = record.place();
        let known = previous == Place::NONE || previous == entry.change || self.cut_back(id, previous);
        if !known {
            if self.report.damage.is_empty() {
                return false;
            }
            let stored = self.payload(place, record);
            self.orphans.entry(id).or_default().extend(stored);
            return true;
        }
        if previous == Place::NONE {
            self.heads.remove(&id.slot);
            self.orphans.remove(&id);
        }
        let head = self.heads.get(&id.slot).copied().unwrap_or(NO_LINK);
        let Ok(link) = u32::try_from(self.links.len()) else { return true };
        self.links.push(Link { previous: head, place, size: record.size() });
        self.heads.insert(id.slot, link);
        let flags =
            entry.flags & (flag::LARGE | flag::CHANGED) | record.flags & !(flag::LARGE | flag::CHANGED);
        self.state.slab.update(id, flags, record.retry_at);
        if let Some(entry) = self.state.slab.get_mut(id) {
            entry.chain = if previous == Place::NONE { 1 } else { entry.chain.saturating_add(1) };
            entry.change = place;
        }
        true
    }

    /// A change that continues from an earlier one (its predecessor was in a batch that failed): forgets those after
    /// `previous`.
    fn cut_back(&mut self, id: QueueId, previous: Place) -> bool {
        let mut at = self.heads.get(&id.slot).copied().unwrap_or(NO_LINK);
        while let Some(link) = self.links.get(at as usize) {
            if link.place == previous {
                self.heads.insert(id.slot, at);
                return true;
            }
            at = link.previous;
        }
        false
    }

    fn payload(&self, place: Place, record: &Record) -> Vec<Change> {
        let segment = self.state.segments.used.get(&place.segment);
        let stored = segment.and_then(|s| {
            read::record_at(s.file.as_ref(), s.generation, place.offset, record.size() as usize).ok()
        });
        stored.and_then(|s| codec::decode_changes(&s.payload).ok()).unwrap_or_default()
    }

    fn removal(&mut self, place: Place, record: &Record) {
        let id = record.id();
        self.state.segments.need(place.segment, record.aux);
        if self.state.slab.dying(id) {
            self.state.slab.release(id);
            self.heads.remove(&id.slot);
            self.orphans.remove(&id);
        }
    }

    /// Messages whose content file is missing are set aside; files without a message are deleted.
    fn check_large(&mut self, kept: &HashSet<u32>) -> Result<(), SpoolError> {
        let mut names: HashSet<String> = self.disk.list("large")?.into_iter().collect();
        let large = self.state.slab.list(0, usize::MAX).into_iter().map(|s| s.id);
        let large: Vec<QueueId> =
            large.filter(|id| self.state.slab.get(*id).is_some_and(|e| e.flags & flag::LARGE != 0)).collect();
        for id in large {
            let path = large::path(id);
            if !path.strip_prefix("large/").is_some_and(|name| names.remove(name)) {
                self.lost_content(id);
            }
        }
        if self.repair {
            names.retain(|name| large::slot_of(name).is_none_or(|slot| !kept.contains(&slot)));
            for name in names {
                let _ = self.disk.remove(&format!("large/{name}"));
            }
        }
        Ok(())
    }

    fn lost_content(&mut self, id: QueueId) {
        let Some(entry) = self.state.slab.get(id).copied() else { return };
        if let Some(s) = self.state.segments.used.get(&entry.place.segment) {
            let file = s.file.clone();
            let number = s.number;
            let record = Record::about(Kind::Message, id);
            self.save_damage(
                number,
                file.as_ref(),
                entry.place.offset.into(),
                entry.size.into(),
                Some(&record),
            );
        }
        if let Some(damage) = self.report.damage.last_mut() {
            damage.reason = "the content file is missing".into();
        }
        self.state.slab.dying(id);
        self.state.slab.release(id);
    }

    fn count_live(&mut self) {
        for summary in self.state.slab.list(0, usize::MAX) {
            let Some(entry) = self.state.slab.get(summary.id) else { continue };
            self.state.segments.alive(entry.place.segment, entry.size.into());
            let mut at = self.heads.get(&summary.id.slot).copied().unwrap_or(NO_LINK);
            while let Some(link) = self.links.get(at as usize) {
                self.state.segments.alive(link.place.segment, link.size);
                at = link.previous;
            }
        }
    }
}
