//! Reading Berkeley DB hash and btree files, versions 1.85 to 5.3, without Berkeley DB.
//!
//! The file is read as a whole and every page with entries is taken for what it holds; nothing is trusted:
//! a length or page number that does not fit is an error. Both byte orders. Duplicate data (several values
//! for a key, which postmap never writes) count as the first value.

use crate::index::Index;

mod modern;
mod old;

/// Why a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BdbError {
    /// Not a Berkeley DB hash or btree file.
    #[error("Invalid argument")]
    Format,
    /// Encrypted.
    #[error("encrypted Berkeley DB file")]
    Encrypted,
    /// A length or page number does not fit.
    #[error("damaged Berkeley DB file")]
    Damaged,
}

/// Reads all entries of a file.
pub fn read(bytes: &[u8]) -> Result<Index, BdbError> {
    let mut entries = NulRule::default();
    if let Some(file) = modern::File::open(bytes)? {
        file.each(|key, value| entries.add(key, value))?;
    } else {
        old::each(bytes, |key, value| entries.add(key, value))?;
    }
    Ok(entries.finish())
}

/// Collects entries and finds out whether the file was written with trailing NULs.
#[derive(Default)]
pub struct NulRule {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl NulRule {
    /// Adds one entry as stored.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.entries.push((key.to_vec(), value.to_vec()));
    }

    /// The index, keys and values without their trailing NUL. A file where no key has one counts as "without".
    pub fn finish(self) -> Index {
        let with_nul = self.entries.is_empty() || self.entries.iter().any(|(k, _)| k.ends_with(&[0]));
        let mut index = Index::with_capacity(self.entries.len(), with_nul);
        for (key, value) in &self.entries {
            index.insert(key.strip_suffix(&[0]).unwrap_or(key), value.strip_suffix(&[0]).unwrap_or(value));
        }
        index
    }
}

/// Integers in the file's byte order.
#[derive(Clone, Copy)]
struct Bytes<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl<'a> Bytes<'a> {
    fn u16(&self, at: usize) -> Result<usize, BdbError> {
        let raw = self.get(at, 2)?.try_into().map_err(|_| BdbError::Damaged)?;
        Ok(usize::from(if self.big { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) }))
    }

    fn u32(&self, at: usize) -> Result<u32, BdbError> {
        let raw = self.get(at, 4)?.try_into().map_err(|_| BdbError::Damaged)?;
        Ok(if self.big { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) })
    }

    fn size(&self, at: usize) -> Result<usize, BdbError> {
        usize::try_from(self.u32(at)?).map_err(|_| BdbError::Damaged)
    }

    fn u8(&self, at: usize) -> Result<u8, BdbError> {
        self.bytes.get(at).copied().ok_or(BdbError::Damaged)
    }

    fn get(&self, at: usize, len: usize) -> Result<&'a [u8], BdbError> {
        let end = at.checked_add(len).ok_or(BdbError::Damaged)?;
        self.bytes.get(at..end).ok_or(BdbError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }
}
