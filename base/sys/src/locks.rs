//! File locks: whole-file flock(2) and fcntl(2) locks, and dot locks (`mailbox.lock`), as `mailbox_delivery_lock`,
//! `virtual_mailbox_lock` and `deliver_lock_attempts` of postconf(5) want them.
//!
//! A lock is released when its guard or file is dropped. Waiting is by trying again, so that it can be bounded.

use crate::explain;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How often and how long to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Number of attempts, at least one (`deliver_lock_attempts`).
    pub attempts: u32,
    /// Pause between attempts (`deliver_lock_delay`).
    pub delay: Duration,
    /// A dot lock older than this is removed (`stale_lock_time`).
    pub stale: Duration,
}

impl Patience {
    /// One attempt, no waiting.
    pub const ONCE: Self = Self { attempts: 1, delay: Duration::ZERO, stale: Duration::MAX };

    /// Runs `attempt` until it gives something else than `Ok(None)`, an error, or patience is at an end (`Ok(None)`).
    fn try_until<T>(&self, mut attempt: impl FnMut() -> io::Result<Option<T>>) -> io::Result<Option<T>> {
        for n in 1..=self.attempts.max(1) {
            if let Some(got) = attempt()? {
                return Ok(Some(got));
            }
            if n < self.attempts {
                std::thread::sleep(self.delay);
            }
        }
        Ok(None)
    }
}

/// Exclusive flock(2), held as long as the file is open. `Ok(false)`: somebody else holds it.
pub fn flock(file: &File, patience: &Patience) -> io::Result<bool> {
    let got = patience.try_until(|| {
        // SAFETY: plain system call on a descriptor that `file` keeps open.
        let rc = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
        if rc == 0 {
            return Ok(Some(()));
        }
        match Errno::last() {
            Errno::EWOULDBLOCK | Errno::EINTR => Ok(None),
            e => Err(explain("flock", e)),
        }
    })?;
    Ok(got.is_some())
}

/// Shared flock(2) on a file that is about to be read, tried for a tenth of a second: for files that other programs
/// write in place under an exclusive lock (postmap(1)). `WouldBlock` when the writer takes longer.
pub fn lock_shared_briefly(file: &File) -> io::Result<()> {
    let patience = Patience { attempts: 20, delay: Duration::from_millis(5), ..Patience::ONCE };
    let got = patience.try_until(|| match file.try_lock_shared() {
        Ok(()) => Ok(Some(())),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(e)) => Err(explain("flock", e)),
    })?;
    got.ok_or_else(|| io::Error::new(io::ErrorKind::WouldBlock, "locked by another program"))
}

/// Exclusive fcntl(2) lock of the whole file, held until this process closes any descriptor of it.
pub fn fcntl_lock(file: &File, patience: &Patience) -> io::Result<bool> {
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let got = patience.try_until(|| match fcntl(file.as_fd(), FcntlArg::F_SETLK(&whole)) {
        Ok(_) => Ok(Some(())),
        Err(Errno::EACCES | Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(e) => Err(explain("fcntl lock", e)),
    })?;
    Ok(got.is_some())
}

/// The process that holds an fcntl lock on the file, if another one does.
pub fn fcntl_holder(file: &File) -> io::Result<Option<u32>> {
    let mut probe = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file.as_fd(), FcntlArg::F_GETLK(&mut probe)).map_err(|e| explain("fcntl lock", e))?;
    let held = i32::from(probe.l_type) != libc::F_UNLCK;
    Ok(if held { u32::try_from(probe.l_pid).ok() } else { None })
}

/// A `file.lock` beside a mailbox. Removed when dropped.
#[derive(Debug)]
pub struct DotLock {
    path: PathBuf,
}

impl DotLock {
    /// Creates `PATH.lock` exclusively. `Ok(None)`: somebody else holds it and is not stale.
    pub fn take(mailbox: &Path, patience: &Patience) -> io::Result<Option<Self>> {
        let mut path = mailbox.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        patience.try_until(|| Self::attempt(&path, patience.stale))
    }

    fn attempt(path: &Path, stale: Duration) -> io::Result<Option<Self>> {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path);
        match made {
            Ok(mut file) => {
                let lock = Self { path: path.to_owned() };
                file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
                Ok(Some(lock))
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                remove_stale(path, stale);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

fn remove_stale(path: &Path, stale: Duration) {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return };
    let age = SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(meta.mtime().max(0).unsigned_abs()))
        .and_then(|t| SystemTime::now().duration_since(t).ok());
    if age.is_some_and(|a| a > stale) {
        let _ = std::fs::remove_file(path);
    }
}

impl Drop for DotLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("hikyaku-locks-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn flock_excludes_another_open_file() {
        let path = scratch("flock").join("f");
        let (a, b) = (File::create(&path).unwrap(), File::create(&path).unwrap());
        assert!(flock(&a, &Patience::ONCE).unwrap());
        assert!(!flock(&b, &Patience::ONCE).unwrap());
        drop(a);
        assert!(flock(&b, &Patience::ONCE).unwrap());
    }

    #[test]
    fn fcntl_lock_is_free_for_oneself() {
        let path = scratch("fcntl").join("f");
        let a = File::create(&path).unwrap();
        assert!(fcntl_lock(&a, &Patience::ONCE).unwrap());
        assert_eq!(fcntl_holder(&a).unwrap(), None);
    }

    #[test]
    fn dot_lock_comes_and_goes() {
        let mailbox = scratch("dot").join("box");
        let lock = DotLock::take(&mailbox, &Patience::ONCE).unwrap().unwrap();
        assert!(DotLock::take(&mailbox, &Patience::ONCE).unwrap().is_none());
        drop(lock);
        assert!(DotLock::take(&mailbox, &Patience::ONCE).unwrap().is_some());
    }

    #[test]
    fn stale_dot_lock_is_broken() {
        let mailbox = scratch("stale").join("box");
        let path = mailbox.with_extension("lock");
        let old = File::create(&path).unwrap();
        old.set_modified(SystemTime::now() - Duration::from_secs(1000)).unwrap();
        let twice = Patience { attempts: 2, delay: Duration::ZERO, stale: Duration::from_secs(500) };
        assert!(DotLock::take(&mailbox, &twice).unwrap().is_some());
    }
}
