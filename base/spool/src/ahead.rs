//! What the writer has been asked to record and has not written yet, where `kill -9` cannot reach it.
//!
//! A change or removal that nobody waits for is written a few milliseconds later, when the writer comes to it. Were the process
//! killed in that moment, a message that its next hop has taken would be delivered again. So whoever hands such an operation to the
//! writer puts it into the file `ahead` first, which is mapped: a copy of some 50 bytes in memory, no system call, and the
//! next start finds it. It is never synced and means nothing after the machine has stopped ([`Disk::boot`]).
//!
//! The file has two halves. Operations gather in one while the writer writes those of the other; each time the writer takes what has
//! gathered, the halves change their roles and the number of the *turn* goes up. Each record in a segment has the turn that it
//! was written in. The next start applies a half only when its turn is that of the last record, or one of the two after it: then
//! the segments have nothing that is newer than the half, and applying what they have already changes nothing, since all that
//! follows is applied too, in order. Whenever that might not be so (a half is full, the disk takes no writes) the turn jumps, and
//! what was in the halves is void as soon as something newer is in a segment.

use crate::{
    batch::change_record,
    disk::{Disk, Mapped, read_range},
    format::{Kind, Place, RECORD_HEADER, Record, align},
    shared::Op,
};

/// The file, below the spool's folder.
const FILE: &str = "ahead";
/// Bytes of a half: some hundred operations, far more than gather in a turn.
const HALF: usize = if cfg!(test) { 4 << 10 } else { 128 << 10 };
/// Magic, boot, turn with the start's own number, checksum.
const HEADER: usize = 48;
const MAGIC: &[u8; 8] = b"HKYAHD01";
/// A half counts when the last record is of its turn, or of one of so many before.
const REACH: u16 = 2;
/// Farther than any half counts.
const JUMP: u64 = 4;

/// The file and where in it the next operation goes. Without a file nothing is noted.
#[derive(Default)]
pub(crate) struct Ahead {
    map: Option<Box<dyn Mapped>>,
    boot: u128,
    /// The lower 16 bits are what records have; the upper make it different from those of earlier starts.
    turn: u64,
    /// The turn of what the writer took last.
    taken: u64,
    second: bool,
    at: usize,
    /// No more is noted in this turn.
    quiet: bool,
    buffer: Vec<u8>,
}

/// An operation that the last process noted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) record: Record,
    /// Of a change: its encoded form.
    pub(crate) payload: Vec<u8>,
}

impl Ahead {
    /// Begins after the turn of the last record there is, when what [`left`] found is written again, or else (`behind`) waits for that.
    /// Where the file cannot be made, a kill may take what is not written.
    pub(crate) fn open(disk: &dyn Disk, last: u16, behind: bool) -> Self {
        let secs = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_secs());
        let taken = secs << 16 | u64::from(last);
        let mut ahead = Self { turn: taken + 1, taken, quiet: behind, ..Self::default() };
        if let Some(boot) = disk.boot() {
            ahead.boot = boot;
            ahead.map = disk.map(FILE, 2 * HALF).ok();
        }
        if !behind {
            ahead.forget();
        }
        ahead
    }

    /// Nothing that is noted counts any more.
    fn forget(&mut self) {
        // All of it: a start in the same second may have the same turns.
        if let Some(map) = &mut self.map {
            map.write(0, &[0; 2 * HALF]);
        }
    }

    /// Notes an operation that nobody may forget. The caller hands it to the writer in the same order.
    pub(crate) fn note(&mut self, op: &Op) {
        let Some(map) = self.map.as_mut().filter(|_| !self.quiet) else { return };
        let (record, payload) = match op {
            Op::Change { id, payload, flags, retry_at, .. } => {
                (change_record(*id, payload, *flags, *retry_at, Place::NONE), payload.as_slice())
            }
            Op::Remove { id } => (Record::about(Kind::Removal, *id), &[][..]),
            _ => return,
        };
        let base = if self.second { HALF } else { 0 };
        self.buffer.clear();
        let begin = self.at;
        if begin == 0 {
            self.buffer.extend_from_slice(&header(self.boot, self.turn));
        }
        let offset = (begin + self.buffer.len()) as u64;
        self.buffer.extend_from_slice(&record.encode(self.turn, offset));
        self.buffer.extend_from_slice(payload);
        self.buffer.resize(align(self.buffer.len() as u64) as usize, 0);
        let end = begin + self.buffer.len();
        if end > HALF || !map.write(base + begin, &self.buffer) {
            self.quiet = true;
            return;
        }
        self.at = end;
    }

    /// The writer takes all that was noted; the turn that its records have. `behind`: it has not written what it took before.
    pub(crate) fn take(&mut self, behind: bool) -> u16 {
        if behind {
            // Both halves stay as they are until it writes again, and are void then.
            self.quiet = true;
            self.turn += JUMP;
            self.taken = self.turn;
            return self.turn as u16;
        }
        if self.at == 0 && !self.quiet {
            // Nothing was noted, and all that was is written: the numbers go on from there, however often the writer looks.
            self.turn = self.taken + 1;
            return self.turn as u16;
        }
        let jump = if self.quiet { JUMP } else { 0 };
        let turn = self.turn + jump;
        self.taken = turn;
        self.turn = turn + jump.max(1);
        self.second = !self.second;
        (self.at, self.quiet) = (0, false);
        turn as u16
    }

    /// Everything is written: the next start finds nothing here.
    pub(crate) fn clear(&mut self) {
        self.forget();
        self.map = None;
    }
}

fn header(boot: u128, turn: u64) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..8].copy_from_slice(MAGIC);
    out[8..24].copy_from_slice(&boot.to_le_bytes());
    out[24..32].copy_from_slice(&turn.to_le_bytes());
    let crc = crc32fast::hash(&out[..32]);
    out[32..36].copy_from_slice(&crc.to_le_bytes());
    out
}

/// What the last process noted and may not have written, in order. `last`: the turn of the last record.
pub(crate) fn left(disk: &dyn Disk, last: u16) -> Vec<Noted> {
    let (Some(boot), Ok(file)) = (disk.boot(), disk.open(FILE, false)) else { return Vec::new() };
    let mut halves: Vec<(u16, Vec<Noted>)> = [0, HALF]
        .into_iter()
        .filter_map(|base| {
            let bytes = read_range(file.as_ref(), base as u64, HALF).ok()?;
            let turn = turn_of(&bytes, boot)?;
            let distance = (turn as u16).wrapping_sub(last);
            (distance <= REACH).then(|| (distance, noted(&bytes, turn)))
        })
        .collect();
    halves.sort_by_key(|half| half.0);
    halves.into_iter().flat_map(|half| half.1).collect()
}

/// The turn of a half of this start of the machine.
fn turn_of(bytes: &[u8], boot: u128) -> Option<u64> {
    let turn = u64::from_le_bytes(*bytes.get(24..)?.first_chunk()?);
    (bytes.get(..HEADER)? == header(boot, turn)).then_some(turn)
}

/// The operations of a half, up to the first that is not whole.
fn noted(bytes: &[u8], turn: u64) -> Vec<Noted> {
    let mut found = Vec::new();
    let mut at = HEADER;
    while let Some(rest) = bytes.get(at..)
        && let Some(record) = Record::decode(rest, turn, at as u64)
        && let Some(payload) = rest.get(RECORD_HEADER..RECORD_HEADER + record.len as usize)
        && crc32fast::hash(payload) == record.crc
    {
        found.push(Noted { record, payload: payload.to_vec() });
        at += record.size() as usize;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Faults, SimDisk};
    use base_calls::{QueueId, Timestamp};

    fn removal(slot: u32) -> Op {
        Op::Remove { id: QueueId { time: Timestamp(1), slot, long: true } }
    }

    fn slots(disk: &SimDisk, last: u16) -> Vec<u32> {
        left(disk, last).iter().map(|noted| noted.record.slot).collect()
    }

    #[test]
    fn what_counts_after_a_kill() {
        let disk = SimDisk::new(Faults::default());
        let mut ahead = Ahead::open(&disk, 65_533, false);
        let mut last = 65_533;
        for n in 0..20 {
            ahead.note(&removal(3 * n));
            assert_eq!(slots(&disk, last).last(), Some(&(3 * n)));
            let turn = ahead.take(false);
            ahead.note(&removal(3 * n + 1));
            // The writer has taken the first and is about to write it.
            assert_eq!(slots(&disk, last).iter().rev().take(2).collect::<Vec<_>>(), [&(3 * n + 1), &(3 * n)]);
            last = turn;
            assert_eq!(slots(&disk, last), [3 * n, 3 * n + 1]);
            last = ahead.take(false);
            // It looks again and again, and nothing is there.
            for _ in 0..n {
                ahead.take(false);
            }
            ahead.note(&removal(3 * n + 2));
            assert_eq!(slots(&disk, last), [3 * n + 1, 3 * n + 2]);
            last = ahead.take(false);
        }
        // It cannot write: the halves count until something newer is in a segment.
        ahead.note(&removal(100));
        let jumped = ahead.take(true);
        ahead.note(&removal(101));
        assert_eq!(slots(&disk, last).last(), Some(&100));
        assert_eq!(slots(&disk, jumped), [0; 0]);
        let last = ahead.take(false);
        ahead.note(&removal(102));
        assert_eq!(slots(&disk, last), [0; 0]);
        let last = ahead.take(false);
        ahead.note(&removal(103));
        assert_eq!(slots(&disk, last), [102, 103]);
        // Another start begins with nothing, however soon.
        drop(Ahead::open(&disk, last, false));
        assert_eq!(slots(&disk, last), [0; 0]);
        ahead.clear();
    }
}
