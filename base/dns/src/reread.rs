//! A small configuration file that is read again when it changes, looked at once a second at most.

use arc_swap::ArcSwap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

/// The largest file that is read.
const MAX_SIZE: u64 = 4 << 20;

/// Parsed content of a file. A file that is missing or too large counts as empty.
pub struct Reread<T> {
    path: PathBuf,
    parse: fn(&str) -> T,
    started: Instant,
    next_check: AtomicU64,
    current: ArcSwap<(Stamp, Arc<T>)>,
}

type Stamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

fn read(path: &Path) -> String {
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() <= MAX_SIZE => {
            String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
        }
        _ => String::new(),
    }
}

impl<T> Reread<T> {
    /// Reads the file.
    pub fn new(path: &Path, parse: fn(&str) -> T) -> Reread<T> {
        let stamp = stamp(path);
        let value = Arc::new(parse(&read(path)));
        Reread {
            path: path.to_owned(),
            parse,
            started: Instant::now(),
            next_check: AtomicU64::new(1),
            current: ArcSwap::from_pointee((stamp, value)),
        }
    }

    /// The content as of the last look.
    pub fn get(&self) -> Arc<T> {
        let now = self.started.elapsed().as_secs();
        let due = self.next_check.load(Ordering::Relaxed);
        if now >= due
            && self.next_check.compare_exchange(due, now + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.check();
        }
        self.current.load().1.clone()
    }

    /// Reads the file again if it changed.
    pub fn check(&self) {
        let stamp = stamp(&self.path);
        if stamp != self.current.load().0 {
            let value = Arc::new((self.parse)(&read(&self.path)));
            self.current.store(Arc::new((stamp, value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = Reread::new(&path, |text| text.len());
        assert_eq!(*file.get(), 0);
        std::fs::write(&path, "12345").unwrap();
        file.check();
        assert_eq!(*file.get(), 5);
    }
}
