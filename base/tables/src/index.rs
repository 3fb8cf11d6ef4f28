//! Our own indexed file: what postmap writes behind the names of hash:, btree: and lmdb: tables.
//!
//! Layout (little endian): a 64-byte header with its checksum; the records (lengths, checksum, key, value), in
//! the order of the source; blocks of 511 slots with their checksum. A slot is 24 bits of the key's hash and
//! the 40-bit offset of its record; the first slot of a key follows from its hash, the next ones are tried in
//! turn. Nothing is mapped: a file is read with pread, or whole once it is asked often; both check what they
//! read and give [`Corrupt`] rather than a wrong answer. Files are only ever replaced whole (see [`crate::build`]).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

const MAGIC: &[u8; 8] = b"HKYKIDX1";
const HEADER: usize = 64;
const BLOCK: usize = 4096;
const SLOTS: usize = 511;
const RECORD: usize = 12;
/// A file that was asked this often is read whole …
const EAGER: u32 = 16;
/// … when it is not larger than this.
const MAX_WHOLE: u64 = 512 << 20;
const OFFSET: u64 = (1 << 40) - 1;

/// The file is not what we wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged index")]
pub struct Corrupt;

/// An index in memory.
#[derive(Debug, Clone)]
pub struct Index {
    records: Vec<u8>,
    slots: Vec<u64>,
    entries: u64,
    /// The keys stand for keys with a trailing NUL (postmap -N, the default).
    pub with_nul: bool,
}

fn hash(key: &[u8]) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |h: u64, v: u64| {
        let product = u128::from(h ^ v) * u128::from(K | 1);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let mut h = K ^ (key.len() as u64);
    let mut chunks = key.chunks_exact(8);
    for chunk in &mut chunks {
        h = mix(h, chunk.try_into().map_or(0, u64::from_le_bytes));
    }
    let mut tail = [0u8; 8];
    for (to, from) in tail.iter_mut().zip(chunks.remainder()) {
        *to = *from;
    }
    mix(mix(h, u64::from_le_bytes(tail)), K.rotate_left(32))
}

/// The slot where the search for this hash starts.
fn home(hash: u64, slots: u64) -> u64 {
    ((u128::from(hash) * u128::from(slots)) >> 64) as u64
}

fn tag(hash: u64) -> u64 {
    hash << 40
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn crc_of(parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.finalize()
}

/// Key and value of the record at `at`.
fn record_at(records: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let key_len = usize::try_from(u32_at(records, at)?).ok()?;
    let value_len = usize::try_from(u32_at(records, at + 4)?).ok()?;
    let key_at = at.checked_add(RECORD)?;
    let value_at = key_at.checked_add(key_len)?;
    Some((records.get(key_at..value_at)?, records.get(value_at..value_at.checked_add(value_len)?)?))
}

impl Index {
    /// An empty index with room for about `hint` entries.
    pub fn with_capacity(hint: usize, with_nul: bool) -> Index {
        let slots = (hint + hint / 2).max(64).div_ceil(SLOTS) * SLOTS;
        Index { records: vec![0; HEADER], slots: vec![0; slots], entries: 0, with_nul }
    }

    /// The number of entries.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.entries
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let hash = hash(key);
        self.find(key, hash).ok().map(|(_, value)| value)
    }

    /// The slot and value of `key`, or the free slot where it belongs.
    fn find(&self, key: &[u8], hash: u64) -> Result<(usize, &[u8]), usize> {
        let count = self.slots.len();
        let mut slot = usize::try_from(home(hash, count as u64)).unwrap_or_default();
        for _ in 0..count {
            let entry = self.slots.get(slot).copied().unwrap_or_default();
            if entry == 0 {
                return Err(slot);
            }
            if entry & !OFFSET == tag(hash)
                && let Some((found, value)) =
                    record_at(&self.records, usize::try_from(entry & OFFSET).unwrap_or(usize::MAX))
                && found == key
            {
                return Ok((slot, value));
            }
            slot = if slot + 1 == count { 0 } else { slot + 1 };
        }
        Err(0)
    }

    /// Adds an entry; false (and nothing changed) when the key is there already or the index is full.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> bool {
        if (self.entries + 1) * 4 > self.slots.len() as u64 * 3 {
            self.grow();
        }
        let hash = hash(key);
        let Err(slot) = self.find(key, hash) else { return false };
        let Some(at) = self.push(key, value) else { return false };
        self.place(slot, hash, at);
        self.entries += 1;
        true
    }

    /// Adds an entry or gives it a new value.
    pub fn replace(&mut self, key: &[u8], value: &[u8]) {
        let hash = hash(key);
        match self.find(key, hash) {
            Ok((slot, _)) => {
                if let Some(at) = self.push(key, value) {
                    self.place(slot, hash, at);
                }
            }
            Err(_) => {
                self.insert(key, value);
            }
        }
    }

    /// Removes an entry; false when it is not there. Costs as much as building the index.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        if self.get(key).is_none() {
            return false;
        }
        let mut rest = Index::with_capacity(usize::try_from(self.entries).unwrap_or_default(), self.with_nul);
        for (k, v) in self.iter().filter(|(k, _)| *k != key) {
            rest.insert(k, v);
        }
        *self = rest;
        true
    }

    fn place(&mut self, slot: usize, hash: u64, at: u64) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = tag(hash) | at;
        }
    }

    fn push(&mut self, key: &[u8], value: &[u8]) -> Option<u64> {
        let at = u64::try_from(self.records.len()).ok().filter(|at| *at < OFFSET)?;
        let lens =
            [u32::try_from(key.len()).ok()?.to_le_bytes(), u32::try_from(value.len()).ok()?.to_le_bytes()];
        let crc = crc_of(&[lens.as_flattened(), key, value]);
        self.records.extend_from_slice(lens.as_flattened());
        self.records.extend_from_slice(&crc.to_le_bytes());
        self.records.extend_from_slice(key);
        self.records.extend_from_slice(value);
        Some(at)
    }

    fn grow(&mut self) {
        let count = (self.slots.len() * 2).div_ceil(SLOTS) * SLOTS;
        let old = std::mem::replace(&mut self.slots, vec![0; count]);
        for entry in old.into_iter().filter(|e| *e != 0) {
            let at = usize::try_from(entry & OFFSET).unwrap_or(usize::MAX);
            let Some((key, _)) = record_at(&self.records, at) else { continue };
            let hash = hash(key);
            if let Err(slot) = self.find(key, hash) {
                self.place(slot, hash, entry & OFFSET);
            }
        }
    }

    /// All entries, in the order they were added (replaced ones last).
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut offsets: Vec<u64> = self.slots.iter().filter(|s| **s != 0).map(|s| s & OFFSET).collect();
        offsets.sort_unstable();
        offsets.into_iter().filter_map(|at| record_at(&self.records, usize::try_from(at).ok()?))
    }

    /// The file, in two parts to be written one after the other.
    pub fn into_parts(mut self) -> (Vec<u8>, Vec<u8>) {
        let mut slots = Vec::with_capacity(self.slots.len().div_ceil(SLOTS) * BLOCK);
        for block in self.slots.chunks(SLOTS) {
            let start = slots.len();
            block.iter().for_each(|slot| slots.extend_from_slice(&slot.to_le_bytes()));
            slots.resize(start + BLOCK - 8, 0);
            let crc = crc_of(&[slots.get(start..).unwrap_or_default()]);
            slots.extend_from_slice(&u64::from(crc).to_le_bytes());
        }
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&u64::from(self.with_nul).to_le_bytes());
        header.extend_from_slice(&self.entries.to_le_bytes());
        header.extend_from_slice(&(self.records.len() as u64).to_le_bytes());
        header.extend_from_slice(&(self.slots.len() as u64).to_le_bytes());
        let body = crc_of(&[self.records.get(HEADER..).unwrap_or_default()]);
        header.extend_from_slice(&u64::from(body).to_le_bytes());
        header.resize(HEADER - 4, 0);
        let crc = crc_of(&[&header]);
        header.extend_from_slice(&crc.to_le_bytes());
        if let Some(to) = self.records.get_mut(..HEADER) {
            to.copy_from_slice(&header);
        }
        (self.records, slots)
    }

    /// Reads a whole file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Index, Corrupt> {
        let header = Header::parse(bytes.get(..HEADER).ok_or(Corrupt)?)?;
        let end = usize::try_from(header.records_end).map_err(|_| Corrupt)?;
        let records = bytes.get(..end).ok_or(Corrupt)?.to_vec();
        if crc_of(&[records.get(HEADER..).ok_or(Corrupt)?]) != header.body_crc {
            return Err(Corrupt);
        }
        let blocks = bytes.get(end..).ok_or(Corrupt)?;
        if blocks.len() as u64 != header.blocks().checked_mul(BLOCK as u64).ok_or(Corrupt)? {
            return Err(Corrupt);
        }
        let mut slots = Vec::with_capacity(blocks.len() / 8);
        for block in blocks.chunks(BLOCK) {
            slots.extend(
                checked_block(block)?
                    .chunks_exact(8)
                    .filter_map(|s| s.try_into().ok())
                    .map(u64::from_le_bytes),
            );
        }
        slots.truncate(usize::try_from(header.slots).map_err(|_| Corrupt)?);
        Ok(Index { records, slots, entries: header.entries, with_nul: header.with_nul })
    }
}

struct Header {
    with_nul: bool,
    entries: u64,
    records_end: u64,
    slots: u64,
    body_crc: u32,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Header, Corrupt> {
        let fields = bytes.get(..HEADER - 4).ok_or(Corrupt)?;
        if !bytes.starts_with(MAGIC) || u32_at(bytes, HEADER - 4) != Some(crc_of(&[fields])) {
            return Err(Corrupt);
        }
        let field = |n: usize| u64_at(bytes, n * 8).ok_or(Corrupt);
        let header = Header {
            with_nul: field(1)? & 1 == 1,
            entries: field(2)?,
            records_end: field(3)?,
            slots: field(4)?,
            body_crc: u32::try_from(field(5)?).map_err(|_| Corrupt)?,
        };
        let sane = header.slots > 0
            && header.slots <= OFFSET
            && (HEADER as u64..=OFFSET).contains(&header.records_end);
        if sane { Ok(header) } else { Err(Corrupt) }
    }

    fn blocks(&self) -> u64 {
        self.slots.div_ceil(SLOTS as u64)
    }
}

fn checked_block(block: &[u8]) -> Result<&[u8], Corrupt> {
    let slots = block.get(..BLOCK - 8).ok_or(Corrupt)?;
    match u64_at(block, BLOCK - 8) == Some(u64::from(crc_of(&[slots]))) {
        true => Ok(slots),
        false => Err(Corrupt),
    }
}

/// An index in a file.
pub struct IndexFile {
    file: File,
    size: u64,
    header: Header,
    asked: AtomicU32,
    whole: OnceLock<Result<Index, Corrupt>>,
}

/// Is this the beginning of one of our files?
pub fn is_index(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

impl IndexFile {
    /// Checks the header.
    pub fn open(file: File) -> io::Result<IndexFile> {
        let mut start = [0; HEADER];
        file.read_exact_at(&mut start, 0)?;
        let header = Header::parse(&start).map_err(io::Error::other)?;
        let size = file.metadata()?.len();
        Ok(IndexFile { file, size, header, asked: AtomicU32::new(0), whole: OnceLock::new() })
    }

    /// True when the keys stand for keys with a trailing NUL.
    pub fn with_nul(&self) -> bool {
        self.header.with_nul
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        if self.whole.get().is_none() && self.asked.fetch_add(1, Ordering::Relaxed) < EAGER
            || self.size > MAX_WHOLE
        {
            return self.get_from_file(key);
        }
        Ok(self.whole()?.get(key).map(<[u8]>::to_vec))
    }

    /// The whole index, in memory from now on.
    pub fn whole(&self) -> io::Result<&Index> {
        let read = || {
            let mut bytes = vec![0; usize::try_from(self.size).map_err(|_| Corrupt)?];
            self.file.read_exact_at(&mut bytes, 0).map_err(|_| Corrupt)?;
            Index::from_bytes(&bytes)
        };
        self.whole.get_or_init(read).as_ref().map_err(|e| io::Error::other(*e))
    }

    fn get_from_file(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let hash = hash(key);
        let mut slot = home(hash, self.header.slots);
        let mut block = [0u8; BLOCK];
        let mut loaded = u64::MAX;
        for _ in 0..self.header.slots {
            let number = slot / SLOTS as u64;
            if number != loaded {
                self.file.read_exact_at(&mut block, self.header.records_end + number * BLOCK as u64)?;
                checked_block(&block).map_err(io::Error::other)?;
                loaded = number;
            }
            let at = usize::try_from(slot % SLOTS as u64).unwrap_or_default() * 8;
            let entry = u64_at(&block, at).unwrap_or_default();
            if entry == 0 {
                return Ok(None);
            }
            if entry & !OFFSET == tag(hash)
                && let Some(value) = self.record(entry & OFFSET, key)?
            {
                return Ok(Some(value));
            }
            slot = if slot + 1 == self.header.slots { 0 } else { slot + 1 };
        }
        Ok(None)
    }

    fn record(&self, at: u64, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let corrupt = || io::Error::other(Corrupt);
        let mut head = [0u8; RECORD];
        self.file.read_exact_at(&mut head, at)?;
        let (Some(key_len), Some(value_len), Some(crc)) =
            (u32_at(&head, 0), u32_at(&head, 4), u32_at(&head, 8))
        else {
            return Err(corrupt());
        };
        let end = at + RECORD as u64 + u64::from(key_len) + u64::from(value_len);
        if end > self.header.records_end {
            return Err(corrupt());
        }
        if usize::try_from(key_len).ok() != Some(key.len()) {
            return Ok(None);
        }
        let size = u64::from(key_len) + u64::from(value_len);
        let mut body = vec![0; usize::try_from(size).map_err(|_| corrupt())?];
        self.file.read_exact_at(&mut body, at + RECORD as u64)?;
        if crc_of(&[head.get(..8).unwrap_or_default(), &body]) != crc {
            return Err(corrupt());
        }
        Ok(body.strip_prefix(key).map(<[u8]>::to_vec))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn sample(n: usize) -> Index {
        let mut index = Index::with_capacity(10, true);
        for i in 0..n {
            assert!(index.insert(format!("key{i}").as_bytes(), format!("value {i}").as_bytes()));
        }
        index
    }

    fn write(index: Index) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let (a, b) = index.into_parts();
        file.write_all(&a).unwrap();
        file.write_all(&b).unwrap();
        file
    }

    #[test]
    fn finds_what_was_put_in_memory_and_in_files() {
        for n in [0, 1, 5, 3000] {
            let file = IndexFile::open(write(sample(n))).unwrap();
            for i in 0..n + 50 {
                let key = format!("key{i}");
                let want = (i < n).then(|| format!("value {i}").into_bytes());
                assert_eq!(file.get_from_file(key.as_bytes()).unwrap(), want, "{n} {i}");
                assert_eq!(file.get(key.as_bytes()).unwrap(), want, "{n} {i}");
            }
            assert_eq!(file.whole().unwrap().iter().count(), n);
        }
    }

    #[test]
    fn edits() {
        let mut index = sample(100);
        assert!(!index.insert(b"key5", b"other"));
        assert_eq!(index.get(b"key5"), Some(&b"value 5"[..]));
        index.replace(b"key5", b"other");
        index.replace(b"new", b"n");
        assert_eq!(index.get(b"key5"), Some(&b"other"[..]));
        assert!(index.remove(b"key7"));
        assert!(!index.remove(b"key7"));
        assert_eq!((index.len(), index.get(b"key7"), index.iter().count()), (100, None, 100));
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let (mut bytes, slots) = sample(20).into_parts();
        bytes.extend_from_slice(&slots);
        assert!(Index::from_bytes(&bytes).is_ok());
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert_eq!(Index::from_bytes(&bad).err(), Some(Corrupt), "byte {at}");
        }
        for len in 0..bytes.len() {
            assert!(Index::from_bytes(&bytes[..len]).is_err());
        }
    }

    #[test]
    fn damage_is_an_error_in_single_lookups() {
        let file = write(sample(20));
        file.write_all_at(b"X", HEADER as u64 + RECORD as u64 + 6).unwrap();
        let file = IndexFile::open(file).unwrap();
        assert!(file.get_from_file(b"key0").is_err());
        assert!(file.get_from_file(b"key1").unwrap().is_some());
    }

    proptest::proptest! {
        #[test]
        fn any_keys(entries: Vec<(Vec<u8>, Vec<u8>)>) {
            let mut index = Index::with_capacity(0, false);
            let mut model = std::collections::HashMap::new();
            for (k, v) in &entries {
                let new = !model.contains_key(k);
                model.entry(k.clone()).or_insert(v.clone());
                assert_eq!(index.insert(k, v), new);
            }
            let file = IndexFile::open(write(index)).unwrap();
            for (k, v) in &model {
                assert_eq!(file.get_from_file(k).unwrap().as_ref(), Some(v));
            }
        }

        #[test]
        fn garbage_never_panics(mut bytes: Vec<u8>, own: bool) {
            if own {
                bytes.splice(0..0, MAGIC.iter().copied());
            }
            let _ = Index::from_bytes(&bytes);
        }
    }
}
