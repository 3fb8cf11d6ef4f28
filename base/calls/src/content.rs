//! Message content: header and body after cleanup, in wire form (CRLF line ends, no dot-stuffing).

use bytes::Bytes;
use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

/// Content of a queued message: in memory until its first delivery, or a range of a spool file.
#[derive(Debug, Clone)]
pub enum Content {
    /// The whole content.
    Memory(Bytes),
    /// `len` bytes at `offset` of a file that stays readable while this value lives.
    File {
        /// The open file; reads are positional.
        file: Arc<File>,
        /// Where the content starts.
        offset: u64,
        /// Its length in bytes.
        len: u64,
    },
}

impl Content {
    /// Length in bytes, in wire form.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(b) => b.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// Whether there is no content at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `max` bytes starting at `at`; empty at the end. Blocking positional read for a file
    /// (page cache in the usual case): callers on the async runtime keep `max` at 64 KiB or less.
    pub fn chunk(&self, at: u64, max: usize) -> io::Result<Bytes> {
        match self {
            Self::Memory(b) => {
                let from = usize::try_from(at).map_or(b.len(), |a| a.min(b.len()));
                Ok(b.slice(from..b.len().min(from.saturating_add(max))))
            }
            Self::File { file, offset, len } => {
                let want = len.saturating_sub(at).min(max as u64) as usize;
                let mut buf = vec![0; want];
                file.read_exact_at(&mut buf, offset + at)?;
                Ok(buf.into())
            }
        }
    }
}
