//! What rules ask of files: who owns them, who may read and write them, when they were changed.

use std::{fs::Metadata, os::unix::fs::MetadataExt, path::Path, time::SystemTime};

/// Anybody may write.
const OTHERS_WRITE: u32 = 0o002;
/// Anybody may read.
const OTHERS_READ: u32 = 0o004;

/// What the system says of a file, links followed; `None` when it does not exist or cannot be asked.
pub fn stat(path: &Path) -> Option<Metadata> {
    std::fs::metadata(path).ok()
}

/// When it was changed last.
pub fn changed(path: &Path) -> Option<SystemTime> {
    stat(path)?.modified().ok()
}

/// Anybody may write to it.
pub fn is_world_writable(meta: &Metadata) -> bool {
    meta.mode() & OTHERS_WRITE != 0
}

/// Anybody may read it.
pub fn is_world_readable(meta: &Metadata) -> bool {
    meta.mode() & OTHERS_READ != 0
}

/// Owned by root, or by whoever checks.
pub fn is_owned_well(meta: &Metadata) -> bool {
    meta.uid() == 0 || meta.uid() == nix::unistd::geteuid().as_raw()
}

/// The text of a file of at most `limit` bytes.
pub fn text(path: &Path, limit: u64) -> Option<String> {
    stat(path).filter(|m| m.is_file() && m.len() <= limit)?;
    std::fs::read(path).ok().map(|b| String::from_utf8_lossy(&b).into_owned())
}
