//! Reading messages back: one record, a message with its chain of changes, and setting damaged ones aside.
//!
//! A reader takes a record's place from the index, reads without a lock, and checks header and payload against the
//! segment's generation. When the writer moved or recycled the record meanwhile that check fails, the index says so, and
//! the reader starts again. Content comes out as memory (or a file of its own), never as a range of a segment, because a
//! segment's bytes may become somebody else's mail.

use crate::{
    Damage, SpoolError,
    disk::{DiskFile, read_range},
    format::{Kind, Place, RECORD_HEADER, Record, flag},
    large,
    shared::Shared,
    slab::Entry,
};
use base_calls::{Change, Content, Progress, QueueId, Queued, RecipientState, Timestamp, codec};
use bytes::Bytes;
use std::sync::Arc;

/// How often a message that moves under the reader is tried.
const ATTEMPTS: usize = 20;

/// Bytes read at first for a change record: header and a usual payload.
const CHANGE_READ: usize = 512;

/// A record read back.
pub(crate) struct Stored {
    pub(crate) record: Record,
    pub(crate) payload: Bytes,
}

/// Reads and checks the record at `offset` of a segment file. `Err` is why it is damaged.
pub(crate) fn record_at(
    file: &dyn DiskFile,
    generation: u64,
    offset: u32,
    hint: usize,
) -> Result<Stored, String> {
    let mut bytes = read_range(file, offset.into(), hint.max(RECORD_HEADER)).map_err(|e| e.to_string())?;
    let record = Record::decode(&bytes, generation, offset.into()).ok_or("damaged record header")?;
    let whole = RECORD_HEADER + record.len as usize;
    if bytes.len() < whole {
        let rest = read_range(file, u64::from(offset) + bytes.len() as u64, whole - bytes.len());
        bytes.extend_from_slice(&rest.map_err(|e| e.to_string())?);
    }
    bytes.truncate(whole);
    let payload = Bytes::from(bytes).slice(RECORD_HEADER..);
    if payload.len() != record.len as usize || crc32fast::hash(&payload) != record.crc {
        return Err("checksum error".into());
    }
    Ok(Stored { record, payload })
}

/// The parts of a message record's payload.
pub(crate) struct Parts {
    pub(crate) accepted: Timestamp,
    pub(crate) envelope: Bytes,
    pub(crate) changes: Bytes,
    /// Content, or the reference to the file that holds it.
    pub(crate) rest: Bytes,
}

/// Takes a message payload apart.
pub(crate) fn parts(stored: &Stored) -> Option<Parts> {
    let (envelope_len, changes_len) = stored.record.pair();
    let (accepted, _) = stored.payload.split_first_chunk::<8>()?;
    let changes_at = 8usize.checked_add(envelope_len as usize)?;
    let rest_at = changes_at.checked_add(changes_len as usize)?;
    if rest_at > stored.payload.len() {
        return None;
    }
    Some(Parts {
        accepted: Timestamp(u64::from_le_bytes(*accepted)),
        envelope: stored.payload.slice(8..changes_at),
        changes: stored.payload.slice(changes_at..rest_at),
        rest: stored.payload.slice(rest_at..),
    })
}

impl Shared {
    /// Reads the record at a place of a segment in use.
    pub(crate) fn read(&self, place: Place, hint: usize) -> Result<Stored, String> {
        let (file, generation) = {
            let state = self.state();
            let segment = state.segments.used.get(&place.segment).ok_or("no such segment")?;
            (segment.file.clone(), segment.generation)
        };
        record_at(file.as_ref(), generation, place.offset, hint)
    }

    /// The chain of change records that ends at `newest`, oldest first.
    pub(crate) fn chain(&self, id: QueueId, newest: Place) -> Result<Vec<(Place, Stored)>, String> {
        let mut chain = Vec::new();
        let mut place = newest;
        while place != Place::NONE {
            let stored = self.read(place, CHANGE_READ)?;
            if stored.record.kind != Kind::Change || stored.record.id() != id {
                return Err("change record of another message".into());
            }
            let previous = stored.record.place();
            chain.push((place, stored));
            place = previous;
        }
        chain.reverse();
        Ok(chain)
    }

    /// All changes of the message that `entry` describes, given its message record.
    pub(crate) fn changes(&self, id: QueueId, entry: &Entry, parts: &Parts) -> Result<Vec<Change>, String> {
        let mut changes = codec::decode_changes(&parts.changes).map_err(|e| e.to_string())?;
        for (_, stored) in self.chain(id, entry.change)? {
            changes.extend(codec::decode_changes(&stored.payload).map_err(|e| e.to_string())?);
        }
        Ok(changes)
    }

    /// The message record of `id`.
    pub(crate) fn message_record(&self, id: QueueId, entry: &Entry) -> Result<Stored, String> {
        let stored = self.read(entry.place, entry.size as usize)?;
        if stored.record.kind != Kind::Message || stored.record.id() != id {
            return Err("record of another message".into());
        }
        Ok(stored)
    }

    /// A whole message.
    pub(crate) fn load(&self, id: QueueId) -> Result<(Arc<Queued>, Progress), SpoolError> {
        let mut attempt = 0;
        loop {
            let entry = *self.state().slab.get(id).ok_or(SpoolError::NotFound)?;
            let why = match self.load_entry(id, &entry) {
                Ok(loaded) => return Ok(loaded),
                Err(why) => why,
            };
            let moved =
                self.state().slab.get(id).is_none_or(|e| e.place != entry.place || e.change != entry.change);
            attempt += 1;
            if !moved || attempt == ATTEMPTS {
                return Err(self.set_aside(id, &entry, why));
            }
        }
    }

    fn load_entry(&self, id: QueueId, entry: &Entry) -> Result<(Arc<Queued>, Progress), String> {
        let stored = self.message_record(id, entry)?;
        let parts = parts(&stored).ok_or("malformed message record")?;
        let envelope = codec::decode_envelope(&parts.envelope).map_err(|e| e.to_string())?;
        let mut progress = Progress::new(envelope.recipients.len());
        progress.held = stored.record.flags & flag::HELD != 0;
        self.changes(id, entry, &parts)?.iter().for_each(|c| progress.apply(c));
        let content = match stored.record.flags & flag::LARGE {
            0 => Content::Memory(parts.rest),
            _ => large::content(self.disk.as_ref(), id, &parts.rest)?,
        };
        Ok((Arc::new(Queued { id, envelope, content, accepted: parts.accepted }), progress))
    }

    /// Copies a damaged message record to `corrupt/` and forgets the message.
    pub(crate) fn set_aside(&self, id: QueueId, entry: &Entry, why: String) -> SpoolError {
        if self.read_only {
            return SpoolError::Corrupt(why);
        }
        let file = self.state().segments.used.get(&entry.place.segment).map(|s| s.file.clone());
        let bytes =
            file.and_then(|f| read_range(f.as_ref(), entry.place.offset.into(), entry.size as usize).ok());
        let name = format!("corrupt/{id}-{:08x}-{:08x}", entry.place.segment, entry.place.offset);
        save(self.disk.as_ref(), &name, &bytes.unwrap_or_default());
        if entry.flags & flag::LARGE != 0 {
            let _ = self.disk.rename(&large::path(id), &format!("{name}.content"));
        }
        let damage = Damage { id: Some(id), file: self.disk.full_path(&name), reason: why.clone() };
        self.report(&damage);
        if self.state().slab.dying(id) {
            let _ = self.push(crate::shared::Op::Remove { id });
        }
        SpoolError::Corrupt(why)
    }
}

/// Saves damaged bytes; best effort, since the disk may be what is broken.
pub(crate) fn save(disk: &dyn crate::disk::Disk, name: &str, bytes: &[u8]) {
    let _ = disk.create_dir("corrupt");
    if let Ok(file) = disk.create(name) {
        let _ = crate::disk::write_all(file.as_ref(), bytes, 0);
    }
}

/// The shortest run of changes with the same effect on any message.
pub(crate) fn fold(changes: &[Change], held: bool) -> Vec<Change> {
    let index = |c: &Change| match c {
        Change::Done(i) | Change::Delivered(i, _) | Change::Failed(i, _) | Change::Deferred(i, _) => {
            *i as usize + 1
        }
        _ => 0,
    };
    let count = changes.iter().map(index).max().unwrap_or(0).min(1 << 24);
    let mut progress = Progress::new(count);
    progress.held = held;
    changes.iter().for_each(|c| progress.apply(c));
    let mut out = Vec::new();
    for (i, state) in (0u32..).zip(progress.recipients) {
        match state {
            RecipientState::Pending => {}
            RecipientState::Done => out.push(Change::Done(i)),
            RecipientState::Deferred(d) => out.push(Change::Deferred(i, d)),
            RecipientState::Failed(d) => out.push(Change::Failed(i, d)),
            RecipientState::Delivered(d) => out.push(Change::Delivered(i, d)),
        }
    }
    if progress.retry_at != Timestamp::default() {
        out.push(Change::RetryAt(progress.retry_at));
    }
    if progress.delay_warned {
        out.push(Change::DelayWarned);
    }
    out.push(Change::Held(progress.held));
    out.extend(progress.expired.map(Change::Expired));
    out
}

/// The same as a record over the message record: what earlier changes said about recipients that are pending again
/// must not come back.
pub(crate) fn fold_over(changes: &[Change], held: bool) -> Vec<Change> {
    let mut out = fold(changes, held);
    if changes.contains(&Change::Requeued) {
        out.insert(0, Change::Requeued);
    }
    out
}

/// What the index shows of a message after `changes`.
pub(crate) fn summarize(mut flags: u8, mut retry_at: u32, changes: &[Change]) -> (u8, u32) {
    for change in changes {
        match change {
            Change::RetryAt(t) => retry_at = u32::try_from(t.0.div_ceil(1_000_000)).unwrap_or(u32::MAX),
            Change::Requeued => {
                (flags, retry_at) = (flags & !(flag::HELD | flag::EXPIRED | flag::EXPIRED_FORCE), 0)
            }
            Change::Held(true) => flags |= flag::HELD,
            Change::Held(false) => flags &= !flag::HELD,
            Change::Expired(force) => {
                flags = flags & !flag::EXPIRED_FORCE
                    | flag::EXPIRED
                    | if *force { flag::EXPIRED_FORCE } else { 0 };
            }
            _ => {}
        }
    }
    (flags, retry_at)
}
