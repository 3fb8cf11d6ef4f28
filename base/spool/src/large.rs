//! Messages over the threshold: the content is a file of its own in `large/`, named after the message's id.
//!
//! The file and its name are synced before the record that refers to it is written, and deleted after the record of the
//! removal is durable; what a crash leaves in between is a file without a record, deleted at the next start.

use crate::{
    SpoolError,
    disk::{Disk, DiskFile, write_all},
    draft::LargeFile,
};
use base_calls::{Content, QueueId};
use std::sync::Arc;

/// Appended bytes are written in pieces of this size.
const BUFFER: usize = 128 << 10;

/// Size of the reference in a message record: length and checksum.
const REFERENCE: usize = 12;

/// Where the content of `id` is.
pub(crate) fn path(id: QueueId) -> String {
    format!("large/{:016x}-{:08x}", id.time.0, id.slot)
}

/// The slot in the name of a file below `large/`.
pub(crate) fn slot_of(name: &str) -> Option<u32> {
    u32::from_str_radix(name.split_once('-')?.1, 16).ok()
}

/// The reference for a message record.
pub(crate) fn reference(len: u64, crc: u32) -> [u8; REFERENCE] {
    let mut out = [0; REFERENCE];
    out[..8].copy_from_slice(&len.to_le_bytes());
    out[8..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The length in a reference.
pub(crate) fn referred_len(reference: &[u8]) -> Option<u64> {
    reference.first_chunk().filter(|_| reference.len() == REFERENCE).map(|b| u64::from_le_bytes(*b))
}

/// Opens the content that `reference` describes. The checksum is not read here: the file is streamed later.
pub(crate) fn content(disk: &dyn Disk, id: QueueId, reference: &[u8]) -> Result<Content, String> {
    let len = referred_len(reference).ok_or("malformed reference to a large message")?;
    let file = disk.open(&path(id), false).map_err(|e| format!("content file: {e}"))?;
    if file.len().map_err(|e| e.to_string())? != len {
        return Err("content file has the wrong length".into());
    }
    Ok(file.content(0, len))
}

/// A large message being written.
pub(crate) struct Writing {
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    path: String,
    pending: std::sync::Mutex<Vec<u8>>,
    written: u64,
    len: u64,
    crc: crc32fast::Hasher,
}

impl Writing {
    pub(crate) fn create(disk: Arc<dyn Disk>, id: QueueId) -> Result<Self, SpoolError> {
        let path = path(id);
        let file = disk.create(&path)?;
        let pending = std::sync::Mutex::new(Vec::new());
        Ok(Self { disk, file, path, pending, written: 0, len: 0, crc: crc32fast::Hasher::new() })
    }

    fn flush(&mut self) -> Result<(), SpoolError> {
        let pending = self.pending.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        write_all(self.file.as_ref(), pending, self.written)?;
        self.written += pending.len() as u64;
        pending.clear();
        Ok(())
    }
}

impl LargeFile for Writing {
    fn append(&mut self, data: &[u8]) -> Result<(), SpoolError> {
        self.crc.update(data);
        self.len += data.len() as u64;
        let pending = self.pending.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if pending.len() + data.len() <= BUFFER {
            pending.extend_from_slice(data);
            return Ok(());
        }
        self.flush()?;
        write_all(self.file.as_ref(), data, self.written)?;
        self.written += data.len() as u64;
        Ok(())
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn sync(&mut self) -> Result<(), SpoolError> {
        self.flush()?;
        self.file.sync()?;
        Ok(self.disk.sync_dir("large")?)
    }

    fn checksum(&self) -> u32 {
        self.crc.clone().finalize()
    }

    fn content(&self) -> Content {
        let pending = self.pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // The tail goes to its place in the file now and once more with the next flush: the same bytes.
        let _ = write_all(self.file.as_ref(), &pending, self.written);
        self.file.clone().content(0, self.len)
    }

    fn delete(&mut self) {
        let _ = self.disk.remove(&self.path);
    }
}
