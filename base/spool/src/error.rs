//! What can go wrong in the spool, as the stages need to know it: wait for room, try again later, or give up on one
//! message. Never a reason to stop the server.

use std::io;

/// Why the spool did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// No room on the disk (ENOSPC, EDQUOT): the client gets 452; the spool recovers by itself when there is room.
    #[error("insufficient system storage")]
    Full,
    /// The disk failed (EIO on write or sync, …): the client gets 451. Whatever was acknowledged before is safe.
    #[error("queue file I/O error: {0}")]
    Io(#[source] io::Error),
    /// No such message (removed meanwhile).
    #[error("no such queue file")]
    NotFound,
    /// The stored message is damaged; it was set aside.
    #[error("damaged queue file: {0}")]
    Corrupt(String),
    /// The spool was closed, or was opened for reading only.
    #[error("the spool is closed")]
    Closed,
    /// Another process writes this spool.
    #[error("the spool is in use by another process")]
    Locked,
}

impl SpoolError {
    /// The same error for another message of the same failed batch.
    pub fn copy(&self) -> Self {
        match self {
            Self::Full => Self::Full,
            Self::Io(e) => Self::Io(copy_io(e)),
            Self::NotFound => Self::NotFound,
            Self::Corrupt(why) => Self::Corrupt(why.clone()),
            Self::Closed => Self::Closed,
            Self::Locked => Self::Locked,
        }
    }
}

fn copy_io(e: &io::Error) -> io::Error {
    match e.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(e.kind(), e.to_string()),
    }
}

impl From<io::Error> for SpoolError {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(e),
        }
    }
}
