//! The entries of an indexed file as they are stored, for files that are no lookup tables: the password database of SASL.
//!
//! Reads our own format and Berkeley DB's, writes our own.

use crate::{
    bdb,
    index::{Index, is_index},
};

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Not a file of a known format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown or damaged database file")]
pub struct BadFile;

/// All entries.
pub fn read(bytes: &[u8]) -> Result<Vec<Pair>, BadFile> {
    let index = match is_index(bytes) {
        true => Index::from_bytes(bytes).map_err(|_| BadFile)?,
        false => bdb::read(bytes).map_err(|_| BadFile)?,
    };
    Ok(index.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect())
}

/// A file with these entries; the last one of a key counts.
pub fn write(pairs: &[Pair]) -> Vec<u8> {
    let mut index = Index::with_capacity(pairs.len(), false);
    pairs.iter().for_each(|(k, v)| index.replace(k, v));
    let (mut file, slots) = index.into_parts();
    file.extend(slots);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_and_read() {
        let pairs = vec![(b"a\0b".to_vec(), b"1".to_vec()), (b"c".to_vec(), b"2".to_vec())];
        assert_eq!(read(&write(&pairs)).unwrap_or_default(), pairs);
        assert_eq!(read(b"junk"), Err(BadFile));
    }
}
