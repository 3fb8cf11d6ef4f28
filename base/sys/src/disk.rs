//! How much room a file system has (statvfs): for `queue_minfree` and for sizing the spool.

use crate::explain;
use std::{io, path::Path};

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What a process without special rights may still use.
    pub available: u64,
}

/// The room on the file system that holds `path`.
pub fn space(path: &Path) -> io::Result<Space> {
    let v = nix::sys::statvfs::statvfs(path)
        .map_err(|e| explain(format_args!("statvfs {}", path.display()), e))?;
    let size = v.fragment_size();
    Ok(Space { total: v.blocks().saturating_mul(size), available: v.blocks_available().saturating_mul(size) })
}

/// Bytes that a process without special rights may still use on the file system that holds `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    space(path).map(|s| s.available)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_some() {
        let dir = tempfile::tempdir().unwrap();
        let space = space(dir.path()).unwrap();
        assert!(space.total >= space.available && space.total > 0);
        assert!(super::space(&dir.path().join("missing")).is_err());
    }
}
