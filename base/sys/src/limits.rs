//! umask and resource limits of the process.

use crate::explain;
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    stat::{Mode, umask},
};
use std::io;

/// Sets the file creation mask; returns the old one. Process-wide: call it in main only.
pub fn set_umask(mask: u32) -> u32 {
    umask(Mode::from_bits_truncate(mask)).bits()
}

/// Raises the number of open files to `want`, or as far as the hard limit goes (root moves that too). Returns what it is now.
pub fn raise_open_files(want: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|e| explain("getrlimit", e))?;
    if soft >= want {
        return Ok(soft);
    }
    if hard < want && setrlimit(Resource::RLIMIT_NOFILE, want, want).is_ok() {
        return Ok(want);
    }
    let target = want.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, target, hard).map_err(|e| explain("setrlimit", e))?;
    Ok(target)
}

/// Forbids core dumps (they would hold mail and keys).
pub fn no_core_dumps() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|e| explain("setrlimit", e))
}

/// Lifts or sets the largest file the process may write (`mailbox_size_limit` for commands); `None` leaves it alone.
pub fn set_file_size(limit: Option<u64>) -> io::Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).map_err(|e| explain("getrlimit", e))?;
    setrlimit(Resource::RLIMIT_FSIZE, limit.min(hard), hard).map_err(|e| explain("setrlimit", e))
}

#[cfg(test)]
mod tests {
    #[test]
    fn open_files_are_raised_but_never_lowered() {
        let now = super::raise_open_files(64).unwrap();
        assert!(now >= 64);
        assert!(super::raise_open_files(now + 1).unwrap() >= now);
    }
}
