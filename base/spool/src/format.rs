//! The bytes of a segment file: its header, the header of a record, and reading either back.
//!
//! A segment starts with a block of 4096 bytes that holds its header twice (at 0 and at 2048), then records follow,
//! each at a multiple of 16: a header of 48 bytes and a payload, padded with zeros. All numbers are little-endian. A
//! record's header is checksummed together with the segment's *generation* and the record's place, so that what a
//! recycled segment still holds from an earlier life is never taken for a record of this one; the header holds
//! the payload's checksum. Reading never panics and allocates nothing that the input does not pay for.

use base_calls::{QueueId, Timestamp};

/// Bytes before the first record.
pub(crate) const FIRST_RECORD: u64 = 4096;
/// Where the second copy of the segment header is.
pub(crate) const HEADER_COPY: u64 = 2048;
/// Size of an encoded segment header.
pub(crate) const SEGMENT_HEADER: usize = 64;
/// Size of an encoded record header.
pub(crate) const RECORD_HEADER: usize = 48;
/// Records start at multiples of this.
pub(crate) const ALIGN: u64 = 16;

const SEGMENT_MAGIC: &[u8; 8] = b"HKYSEG01";
const RECORD_MAGIC: &[u8; 4] = b"HKR1";

/// Rounds up to where a record may start.
pub(crate) const fn align(n: u64) -> u64 {
    n.next_multiple_of(ALIGN)
}

/// What a segment is. Generation 0 is a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SegmentHeader {
    /// Unique for each use of a segment file, rising.
    pub(crate) generation: u64,
    /// The latest message time given out when this use began; keeps ids unique when the clock is set back.
    pub(crate) last_time: u64,
    /// Where the index is, 0 when the segment is not sealed.
    pub(crate) index_at: u64,
    /// Length of the index.
    pub(crate) index_len: u64,
    /// Its checksum.
    pub(crate) index_crc: u32,
}

impl SegmentHeader {
    /// The encoded form.
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        out[..8].copy_from_slice(SEGMENT_MAGIC);
        out[8..16].copy_from_slice(&self.generation.to_le_bytes());
        out[16..24].copy_from_slice(&self.last_time.to_le_bytes());
        out[24..32].copy_from_slice(&self.index_at.to_le_bytes());
        out[32..40].copy_from_slice(&self.index_len.to_le_bytes());
        out[40..44].copy_from_slice(&self.index_crc.to_le_bytes());
        let crc = crc32fast::hash(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes one copy; `None` when it is damaged or was never written.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SEGMENT_HEADER] = bytes.first_chunk()?;
        if bytes[..8] != *SEGMENT_MAGIC || u32_at(bytes, 60) != crc32fast::hash(&bytes[..60]) {
            return None;
        }
        Some(Self {
            generation: u64_at(bytes, 8),
            last_time: u64_at(bytes, 16),
            index_at: u64_at(bytes, 24),
            index_len: u64_at(bytes, 32),
            index_crc: u32_at(bytes, 40),
        })
    }

    /// The header of a segment that starts with `block`: the first copy, or the second when that is damaged.
    pub(crate) fn of_block(block: &[u8]) -> Option<Self> {
        Self::decode(block).or_else(|| {
            let copy = Self::decode(block.get(HEADER_COPY as usize..)?)?;
            Some(Self { index_at: 0, index_len: 0, index_crc: 0, ..copy })
        })
    }

    /// The whole first block.
    pub(crate) fn block(&self) -> Vec<u8> {
        let mut block = vec![0; FIRST_RECORD as usize];
        let header = self.encode();
        for at in [0, HEADER_COPY as usize] {
            block[at..at + SEGMENT_HEADER].copy_from_slice(&header);
        }
        block
    }
}

fn u64_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message: envelope, folded changes, content or a reference to the file that holds it.
    Message,
    /// Changes of a message, linked to its previous change record.
    Change,
    /// A message is gone.
    Removal,
}

/// Flags of a message or change record.
pub(crate) mod flag {
    /// The id prints in its long form.
    pub(crate) const LONG: u8 = 1;
    /// The message is on hold after this record.
    pub(crate) const HELD: u8 = 2;
    /// The content is in a file of its own.
    pub(crate) const LARGE: u8 = 4;
    /// Administratively expired after this record.
    pub(crate) const EXPIRED: u8 = 8;
    /// … even when held.
    pub(crate) const EXPIRED_FORCE: u8 = 16;
    /// A message record that holds folded changes.
    pub(crate) const CHANGED: u8 = 32;
}

/// A place in the spool: segment number and offset. Offset 0 is nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

impl Place {
    /// No place.
    pub(crate) const NONE: Self = Self { segment: 0, offset: 0 };
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    /// [`flag`]s: the state of the message after this record.
    pub(crate) flags: u8,
    /// Length of the payload.
    pub(crate) len: u32,
    /// Checksum of the payload.
    pub(crate) crc: u32,
    /// The message's time.
    pub(crate) time: u64,
    /// The message's slot.
    pub(crate) slot: u32,
    /// The batch it was written with, counted from 1 in each segment.
    pub(crate) batch: u32,
    /// Message: lengths of envelope and folded changes; change: place of the previous one; removal: generation of the
    /// segment that holds the message.
    pub(crate) aux: u64,
    /// No attempt before this second, after this record.
    pub(crate) retry_at: u32,
    /// When it was written, in turns of the writer (`ahead`).
    pub(crate) turn: u16,
}

impl Record {
    /// A record about `id`, all else zero.
    pub(crate) fn about(kind: Kind, id: QueueId) -> Self {
        let flags = if id.long { flag::LONG } else { 0 };
        let (time, slot) = (id.time.0, id.slot);
        Self { kind, flags, len: 0, crc: 0, time, slot, batch: 0, aux: 0, retry_at: 0, turn: 0 }
    }

    /// The message's name.
    pub(crate) fn id(&self) -> QueueId {
        QueueId { time: Timestamp(self.time), slot: self.slot, long: self.flags & flag::LONG != 0 }
    }

    /// Bytes in the segment.
    pub(crate) fn size(&self) -> u64 {
        align(RECORD_HEADER as u64 + u64::from(self.len))
    }

    /// [`Record::aux`] as two lengths.
    pub(crate) fn pair(&self) -> (u32, u32) {
        ((self.aux >> 32) as u32, self.aux as u32)
    }

    /// [`Record::aux`] as a place.
    pub(crate) fn place(&self) -> Place {
        let (segment, offset) = self.pair();
        Place { segment, offset }
    }

    /// The encoded form at its place.
    pub(crate) fn encode(&self, generation: u64, offset: u64) -> [u8; RECORD_HEADER] {
        let mut out = [0; RECORD_HEADER];
        out[..4].copy_from_slice(RECORD_MAGIC);
        out[4] = match self.kind {
            Kind::Message => 1,
            Kind::Change => 2,
            Kind::Removal => 3,
        };
        out[5] = self.flags;
        out[6..8].copy_from_slice(&self.turn.to_le_bytes());
        out[8..12].copy_from_slice(&self.len.to_le_bytes());
        out[12..16].copy_from_slice(&self.crc.to_le_bytes());
        out[16..24].copy_from_slice(&self.time.to_le_bytes());
        out[24..28].copy_from_slice(&self.slot.to_le_bytes());
        out[28..32].copy_from_slice(&self.batch.to_le_bytes());
        out[32..40].copy_from_slice(&self.aux.to_le_bytes());
        out[40..44].copy_from_slice(&self.retry_at.to_le_bytes());
        let crc = header_crc(&out, generation, offset);
        out[44..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes a header at its place.
    pub(crate) fn decode(bytes: &[u8], generation: u64, offset: u64) -> Option<Self> {
        let bytes: &[u8; RECORD_HEADER] = bytes.first_chunk()?;
        if bytes[..4] != *RECORD_MAGIC || u32_at(bytes, 44) != header_crc(bytes, generation, offset) {
            return None;
        }
        let kind = match bytes[4] {
            1 => Kind::Message,
            2 => Kind::Change,
            3 => Kind::Removal,
            _ => return None,
        };
        Some(Self {
            kind,
            flags: bytes[5],
            turn: u16::from_le_bytes([bytes[6], bytes[7]]),
            len: u32_at(bytes, 8),
            crc: u32_at(bytes, 12),
            time: u64_at(bytes, 16),
            slot: u32_at(bytes, 24),
            batch: u32_at(bytes, 28),
            aux: u64_at(bytes, 32),
            retry_at: u32_at(bytes, 40),
        })
    }
}

/// Two lengths or a place as [`Record::aux`].
pub(crate) fn aux(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn header_crc(bytes: &[u8; RECORD_HEADER], generation: u64, offset: u64) -> u32 {
    let mut h = crc32fast::Hasher::new();
    h.update(&generation.to_le_bytes());
    h.update(&offset.to_le_bytes());
    h.update(&bytes[..44]);
    h.finalize()
}

/// A record and where it is, as the index of a sealed segment lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) offset: u32,
    pub(crate) record: Record,
}

const INDEX_ENTRY: usize = RECORD_HEADER + 4;

/// The index of a segment: offset and header of each record.
pub(crate) fn encode_index(records: &[Placed], generation: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len() * INDEX_ENTRY);
    for placed in records {
        out.extend_from_slice(&placed.offset.to_le_bytes());
        out.extend_from_slice(&placed.record.encode(generation, u64::from(placed.offset)));
    }
    out
}

/// Decodes an index; `None` when any of it is damaged.
pub(crate) fn decode_index(bytes: &[u8], generation: u64) -> Option<Vec<Placed>> {
    if !bytes.len().is_multiple_of(INDEX_ENTRY) {
        return None;
    }
    let entry = |b: &[u8]| {
        let (offset, header) = b.split_first_chunk::<4>()?;
        let offset = u32::from_le_bytes(*offset);
        Some(Placed { offset, record: Record::decode(header, generation, u64::from(offset))? })
    };
    bytes.chunks_exact(INDEX_ENTRY).map(entry).collect()
}

/// What a scan of a segment's bytes finds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Intact records, in order.
    pub(crate) records: Vec<Placed>,
    /// Damaged ranges (offset, length) that were durable once, with the header when that is intact.
    pub(crate) damage: Vec<(u64, u64, Option<Record>)>,
    /// Bytes at the end that belong to a batch which was never acknowledged.
    pub(crate) torn: u64,
    /// The end of the last intact record.
    pub(crate) end: u64,
}

/// A hole in the scan: where, how long, in what batch, and the record if its header is intact.
struct Hole {
    at: u64,
    len: u64,
    record: Option<Record>,
}

/// Reads all records of a segment's bytes (from offset 0 of the file). A batch is written only after the one before
/// it is durable: a hole before a record of a later batch is damage; a hole in the last batch is a torn write.
pub(crate) fn scan(bytes: &[u8], generation: u64) -> Scan {
    let mut found = Scan { end: FIRST_RECORD, ..Scan::default() };
    let mut holes: Vec<Hole> = Vec::new();
    let mut at = FIRST_RECORD;
    while let Some(rest) = tail(bytes, at)
        && rest.len() >= RECORD_HEADER
    {
        let Some(record) = Record::decode(rest, generation, at) else {
            match next_record(bytes, generation, at + ALIGN) {
                Some(next) => {
                    holes.push(Hole { at, len: next - at, record: None });
                    at = next;
                    continue;
                }
                None => break,
            }
        };
        let payload = rest.get(RECORD_HEADER..RECORD_HEADER + record.len as usize);
        let Ok(offset) = u32::try_from(at) else { break };
        if payload.is_some_and(|p| crc32fast::hash(p) == record.crc) {
            found.records.push(Placed { offset, record });
            found.end = at + record.size();
        } else {
            holes.push(Hole { at, len: record.size(), record: Some(record) });
        }
        at += record.size();
    }
    let last = found.records.iter().map(|p| p.record.batch).max().unwrap_or(0);
    for hole in holes {
        let after = found.records.iter().find(|p| u64::from(p.offset) > hole.at);
        let batch = hole.record.map(|r| r.batch).or(after.map(|p| p.record.batch));
        if batch.is_some_and(|b| b < last) {
            found.damage.push((hole.at, hole.len, hole.record));
        } else {
            found.torn += hole.len;
        }
    }
    found
}

fn tail(bytes: &[u8], at: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(at).ok()?..)
}

/// The next place at or after `at` that holds an intact record header.
fn next_record(bytes: &[u8], generation: u64, mut at: u64) -> Option<u64> {
    loop {
        let rest = tail(bytes, at)?;
        let skip = rest.chunks_exact(ALIGN as usize).position(|c| c.starts_with(RECORD_MAGIC))?;
        at += skip as u64 * ALIGN;
        if Record::decode(tail(bytes, at)?, generation, at).is_some() {
            return Some(at);
        }
        at += ALIGN;
    }
}
