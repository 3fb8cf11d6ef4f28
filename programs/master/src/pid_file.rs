//! `pid/master.pid`: the number of the running master, locked as long as it runs.
//!
//! The lock (flock) tells whether a master runs; the number in an unlocked file means nothing.

use anyhow::{Context, Result, bail};
use base_sys::locks::{self, Patience};
use std::{
    fs::{File, OpenOptions},
    io::{Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

fn path(queue: &Path) -> PathBuf {
    queue.join("pid/master.pid")
}

/// Keeps the lock; emptied when dropped.
#[derive(Debug)]
pub struct PidFile(File);

impl PidFile {
    /// Takes the lock and writes the number of this process.
    pub fn take(queue: &Path) -> Result<Self> {
        let path = path(queue);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .with_context(|| format!("open lock file {}", path.display()))?;
        if !locks::flock(&file, &Patience::ONCE)? {
            bail!("the Postfix mail system is already running");
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{:>10}", std::process::id())?;
        Ok(Self(file))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = self.0.set_len(0);
    }
}

/// Whether a master runs.
pub fn is_locked(queue: &Path) -> bool {
    File::open(path(queue)).is_ok_and(|f| matches!(locks::flock(&f, &Patience::ONCE), Ok(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("pid")).unwrap();
        assert!(!is_locked(dir.path()));
        let held = PidFile::take(dir.path()).unwrap();
        assert!(is_locked(dir.path()));
        let text = std::fs::read_to_string(path(dir.path())).unwrap();
        assert_eq!(text.trim(), std::process::id().to_string());
        assert!(PidFile::take(dir.path()).unwrap_err().to_string().contains("already running"));
        drop(held);
        assert!(!is_locked(dir.path()));
        assert!(PidFile::take(dir.path()).is_ok());
    }
}
