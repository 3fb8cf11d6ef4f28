//! Constant databases, read and made: the format of cdb and tinycdb (CDB_README, https://cr.yp.to/cdb/cdb.txt).
//!
//! 256 pairs of table position and size; the records (lengths, key, value); 256 hash tables of (hash, record position).
//! Lookups read in place: such files are only ever replaced whole. Nothing in the file is trusted: a position or length
//! that does not fit is [`Damaged`].

use crate::index::Index;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const HEADER: usize = 2048;
const TABLES: usize = 256;

/// The file is no constant database, in Postfix's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Protocol error")]
pub struct Damaged;

/// The content does not fit: positions have 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("File too large")]
pub struct TooLarge;

/// An open constant database.
pub struct Cdb {
    file: File,
    size: u64,
    header: Vec<u8>,
    /// Where the records end.
    end: u32,
    with_nul: bool,
}

fn hash(key: &[u8]) -> u32 {
    key.iter().fold(5381, |h: u32, byte| h.wrapping_mul(33) ^ u32::from(*byte))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn pair_at(bytes: &[u8], at: usize) -> io::Result<(u32, u32)> {
    u32_at(bytes, at).zip(u32_at(bytes, at + 4)).ok_or_else(|| io::Error::other(Damaged))
}

impl Cdb {
    /// Checks the header.
    pub fn open(file: File) -> io::Result<Cdb> {
        let size = file.metadata()?.len();
        let mut header = vec![0; HEADER];
        file.read_exact_at(&mut header, 0).map_err(|_| io::Error::other(Damaged))?;
        let mut end = u32::MAX;
        for table in 0..TABLES {
            let (at, slots) = pair_at(&header, table * 8)?;
            let fits = u64::from(at) + u64::from(slots) * 8 <= size
                && usize::try_from(at).is_ok_and(|at| at >= HEADER);
            if !fits {
                return Err(io::Error::other(Damaged));
            }
            end = end.min(at);
        }
        let mut cdb = Cdb { file, size, header, end, with_nul: true };
        if let Some((_, key, _)) = cdb.record(HEADER as u64)? {
            cdb.with_nul = key.ends_with(&[0]);
        }
        Ok(cdb)
    }

    /// True when keys and values have a trailing NUL (postmap -N).
    pub fn with_nul(&self) -> bool {
        self.with_nul
    }

    /// The value of `key`, both without trailing NUL.
    pub fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let stored = if self.with_nul { [key, &[0]].concat() } else { key.to_vec() };
        let hash = hash(&stored);
        let (at, slots) = pair_at(&self.header, usize::try_from(hash & 255).unwrap_or_default() * 8)?;
        for step in 0..slots {
            // slots is not zero here.
            let slot = ((hash >> 8) % slots + step) % slots;
            let mut pair = [0; 8];
            self.file.read_exact_at(&mut pair, u64::from(at) + u64::from(slot) * 8)?;
            let (found, position) = pair_at(&pair, 0)?;
            if position == 0 {
                return Ok(None);
            }
            if found == hash
                && let Some((_, key, value)) = self.record(u64::from(position))?
                && key == stored
            {
                return Ok(Some(self.plain(value)));
            }
        }
        Ok(None)
    }

    /// All entries, the first of a key counting.
    pub fn index(&self) -> io::Result<Index> {
        let mut index = Index::with_capacity(0, self.with_nul);
        let mut at = HEADER as u64;
        while let Some((next, key, value)) = self.record(at)? {
            index.insert(&self.plain(key), &self.plain(value));
            at = next;
        }
        Ok(index)
    }

    fn plain(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.with_nul && bytes.ends_with(&[0]) {
            bytes.pop();
        }
        bytes
    }

    /// The record at `at`, and where the next one is; `None` at the end.
    #[allow(clippy::type_complexity)]
    fn record(&self, at: u64) -> io::Result<Option<(u64, Vec<u8>, Vec<u8>)>> {
        if at >= u64::from(self.end) {
            return Ok(None);
        }
        let mut lens = [0; 8];
        self.file.read_exact_at(&mut lens, at)?;
        let (key, value) = pair_at(&lens, 0)?;
        let next = at + 8 + u64::from(key) + u64::from(value);
        if next > self.size {
            return Err(io::Error::other(Damaged));
        }
        let damaged = |_| io::Error::other(Damaged);
        let mut both = vec![0; usize::try_from(next - at - 8).map_err(damaged)?];
        self.file.read_exact_at(&mut both, at + 8)?;
        let value = both.split_off(usize::try_from(key).map_err(damaged)?);
        Ok(Some((next, both, value)))
    }
}

/// The bytes of a constant database.
pub fn make(index: &Index) -> Result<Vec<u8>, TooLarge> {
    let nul: &[u8] = if index.with_nul { &[0] } else { &[] };
    let mut out = vec![0; HEADER];
    let mut tables: Vec<Vec<(u32, u32)>> = vec![Vec::new(); TABLES];
    let size = |n: usize| u32::try_from(n).map_err(|_| TooLarge);
    for (key, value) in index.iter() {
        let (key, value) = ([key, nul].concat(), [value, nul].concat());
        let (at, hash) = (size(out.len())?, hash(&key));
        out.extend_from_slice(&size(key.len())?.to_le_bytes());
        out.extend_from_slice(&size(value.len())?.to_le_bytes());
        out.extend_from_slice(&key);
        out.extend_from_slice(&value);
        if let Some(table) = tables.get_mut(usize::try_from(hash & 255).unwrap_or_default()) {
            table.push((hash, at));
        }
    }
    let mut header = Vec::with_capacity(HEADER);
    for table in &tables {
        let slots = place(table);
        header.extend_from_slice(&size(out.len())?.to_le_bytes());
        header.extend_from_slice(&size(slots.len())?.to_le_bytes());
        for (hash, at) in slots {
            out.extend_from_slice(&hash.to_le_bytes());
            out.extend_from_slice(&at.to_le_bytes());
        }
    }
    size(out.len())?;
    if let Some(start) = out.get_mut(..HEADER) {
        start.copy_from_slice(&header);
    }
    Ok(out)
}

/// A hash table half full: each entry in the first free slot from its own on.
fn place(entries: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let count = entries.len() * 2;
    let mut slots = vec![(0, 0); count];
    for (hash, at) in entries {
        let home = usize::try_from(hash >> 8).unwrap_or_default() % count;
        let free =
            (0..count).map(|step| (home + step) % count).find(|n| slots.get(*n).is_some_and(|s| s.1 == 0));
        if let Some(slot) = free.and_then(|n| slots.get_mut(n)) {
            *slot = (*hash, *at);
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn open(bytes: &[u8]) -> io::Result<Cdb> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Cdb::open(file)
    }

    fn index(count: usize, with_nul: bool) -> Index {
        let mut index = Index::with_capacity(count, with_nul);
        for n in 0..count {
            index.insert(format!("key{n}").as_bytes(), format!("value {n}").as_bytes());
        }
        index
    }

    #[test]
    fn there_and_back() {
        for (count, nul) in [(0, false), (1, true), (1000, false), (1000, true)] {
            let cdb = open(&make(&index(count, nul)).unwrap()).unwrap();
            for n in 0..count {
                let value = cdb.get(format!("key{n}").as_bytes()).unwrap();
                assert_eq!(value, Some(format!("value {n}").into_bytes()));
            }
            assert_eq!(cdb.get(b"none").unwrap(), None);
            assert_eq!(cdb.index().unwrap().len(), count as u64);
            assert!(count == 0 || cdb.with_nul() == nul);
        }
    }

    /// The program of Debian's tinycdb, when it is installed, reads and writes the same format.
    #[test]
    fn the_original_agrees() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.cdb");
        std::fs::write(&path, make(&index(300, false)).unwrap()).unwrap();
        let Ok(found) = Command::new("cdb").arg("-q").arg(&path).arg("key123").output() else { return };
        assert_eq!(found.stdout, b"value 123");
        let mut made = Command::new("cdb").arg("-c").arg(&path).stdin(Stdio::piped()).spawn().unwrap();
        made.stdin.take().unwrap().write_all(b"+1,2:a->bc\n+2,0:de->\n\n").unwrap();
        assert!(made.wait().unwrap().success());
        let cdb = Cdb::open(File::open(&path).unwrap()).unwrap();
        assert_eq!(cdb.get(b"a").unwrap().as_deref(), Some(&b"bc"[..]));
        assert_eq!(cdb.get(b"de").unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(cdb.get(b"x").unwrap(), None);
    }

    proptest::proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..3000, byte: u8, cut in 0usize..4000) {
            let mut bytes = make(&index(20, false)).unwrap();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut);
            if let Ok(cdb) = open(&bytes) {
                let _ = (cdb.get(b"key7"), cdb.get(b"none"), cdb.index().map(|i| i.len()));
            }
        }
    }
}
