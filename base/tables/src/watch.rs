//! Content made from files, renewed when they change.
//!
//! [`Watched::get`] is cheap: the files are checked at most every `check_every`, the new content is made
//! beside the old and swapped in whole. Large files are read on a thread of their own while the old content
//! serves. A file that is being written (changed in the last moment) is left alone until it rests; one that
//! cannot be read after a change keeps its old content for a few seconds, then every `get` is the error.

use crate::table::OpenError;
use crate::tables::Options;
use arc_swap::ArcSwap;
use base_sys::opener::Opener;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// How long a file must rest before it is read again.
const REST: Duration = Duration::from_millis(50);
/// How long the old content stands in for a changed file that cannot be read.
const GRACE: Duration = Duration::from_secs(5);
/// Files up to this size are read by the caller, larger ones in the background.
const SMALL: i128 = 256 * 1024;

/// What tells one state of the files from another: device, inode, size, times of change in nanoseconds; `None` for one that is not there.
type Stamp = Vec<Option<[i128; 5]>>;

type Load<T> = Box<dyn Fn() -> Result<T, OpenError> + Send + Sync>;

/// Content made from files.
pub struct Watched<T> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    current: ArcSwap<Loaded<T>>,
    load: Load<T>,
    paths: Vec<PathBuf>,
    opener: Arc<dyn Opener>,
    started: Instant,
    every: u64,
    next_check: AtomicU64,
    loading: AtomicBool,
    trouble_since: AtomicU64,
}

struct Loaded<T> {
    value: Result<Arc<T>, OpenError>,
    stamp: Stamp,
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// Makes the content with `load` now, and again when the first of `paths` that exists changes or another becomes the first.
    pub fn new(paths: Vec<PathBuf>, options: &Options, load: Load<T>) -> Result<Watched<T>, OpenError> {
        let watched = Watched::start(paths, options, load);
        match &watched.inner.current.load().value {
            Ok(_) => Ok(()),
            Err(error) => Err(error.clone()),
        }?;
        Ok(watched)
    }

    /// Like [`Watched::new`]; without the files every `get` is the error until they can be read.
    pub fn start(paths: Vec<PathBuf>, options: &Options, load: Load<T>) -> Watched<T> {
        let opener = Arc::clone(&options.opener);
        let before = stamp(&paths, opener.as_ref());
        let value = load().map(Arc::new);
        let stamp = if value.is_ok() { before } else { Vec::new() };
        let every = u64::try_from(options.check_every.as_millis()).unwrap_or(u64::MAX);
        let inner = Inner {
            current: ArcSwap::from_pointee(Loaded { value, stamp }),
            load,
            paths,
            opener,
            started: Instant::now(),
            every,
            next_check: AtomicU64::new(every),
            loading: AtomicBool::new(false),
            trouble_since: AtomicU64::new(0),
        };
        Watched { inner: Arc::new(inner) }
    }

    /// The content as of the last check.
    pub fn get(&self) -> Result<Arc<T>, OpenError> {
        self.check();
        self.inner.current.load().value.clone()
    }

    /// Calls `f` with the content as of the last check.
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> Result<R, OpenError> {
        self.check();
        match &self.inner.current.load().value {
            Ok(value) => Ok(f(value)),
            Err(error) => Err(error.clone()),
        }
    }

    fn check(&self) {
        let inner = &self.inner;
        let now = inner.now();
        let due = inner.next_check.load(Ordering::Relaxed);
        if now < due {
            return;
        }
        let won =
            inner.next_check.compare_exchange(due, now + inner.every, Ordering::Relaxed, Ordering::Relaxed);
        if won.is_ok() {
            self.renew(now);
        }
    }

    fn renew(&self, now: u64) {
        let inner = &self.inner;
        let stamp = inner.stamp();
        if stamp == inner.current.load().stamp {
            inner.trouble_since.store(0, Ordering::Relaxed);
            return;
        }
        if is_hot(&inner.current.load().stamp, &stamp) {
            let rest = u64::try_from(REST.as_millis()).unwrap_or(u64::MAX);
            inner.next_check.store(now + rest.min(inner.every.max(1)), Ordering::Relaxed);
            return;
        }
        if inner.loading.swap(true, Ordering::Acquire) {
            return;
        }
        if size(&stamp) <= SMALL {
            inner.reload();
            return;
        }
        let background = inner.clone();
        let spawned =
            std::thread::Builder::new().name("tables".to_owned()).spawn(move || background.reload());
        if spawned.is_err() {
            inner.reload();
        }
    }
}

impl<T> Inner<T> {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn stamp(&self) -> Stamp {
        stamp(&self.paths, self.opener.as_ref())
    }

    fn reload(&self) {
        let before = self.stamp();
        let value = (self.load)().map(Arc::new);
        if self.stamp() == before {
            self.install(value, before);
        }
        self.loading.store(false, Ordering::Release);
    }

    fn install(&self, value: Result<Arc<T>, OpenError>, stamp: Stamp) {
        let Err(error) = value else {
            self.trouble_since.store(0, Ordering::Relaxed);
            self.current.store(Arc::new(Loaded { value, stamp }));
            return;
        };
        let now = self.now().max(1);
        let since = match self.trouble_since.load(Ordering::Relaxed) {
            0 => now,
            since => since,
        };
        self.trouble_since.store(since, Ordering::Relaxed);
        let grace = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
        // The old stamp stays with the old content, so the next check tries again.
        if now - since >= grace || self.current.load().value.is_err() {
            self.current.store(Arc::new(Loaded { value: Err(error), stamp: Vec::new() }));
        }
    }
}

/// Was a file written in place a moment ago? One that was replaced whole (another inode) needs no rest.
fn is_hot(old: &Stamp, new: &Stamp) -> bool {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = i128::try_from(since_epoch.as_nanos()).unwrap_or(i128::MAX);
    let hot = |(old, new): (&Option<[i128; 5]>, &Option<[i128; 5]>)| match (old, new) {
        (Some([dev, inode, ..]), Some([new_dev, new_inode, _, mtime, _])) => {
            let young = now >= *mtime && now - *mtime < REST.as_nanos() as i128;
            young && (dev, inode) == (new_dev, new_inode)
        }
        _ => false,
    };
    old.iter().zip(new).any(hot)
}

/// The size of the file that is read.
fn size(stamp: &Stamp) -> i128 {
    stamp.iter().flatten().map(|[_, _, len, ..]| *len).max().unwrap_or(0)
}

fn stamp(paths: &[PathBuf], opener: &dyn Opener) -> Stamp {
    let one = |path: &PathBuf| {
        let meta = opener.metadata(path).ok()?;
        let nanos = |secs: i64, nanos: i64| i128::from(secs) * 1_000_000_000 + i128::from(nanos);
        let (mtime, ctime) = (nanos(meta.mtime(), meta.mtime_nsec()), nanos(meta.ctime(), meta.ctime_nsec()));
        Some([meta.dev().into(), meta.ino().into(), meta.len().into(), mtime, ctime])
    };
    // The first file that is there is the one that is read: an index hides its source, which may be in work all the time.
    let mut stamp = Stamp::new();
    for path in paths {
        let state = one(path);
        stamp.push(state);
        if state.is_some() {
            break;
        }
    }
    stamp
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn watch(path: &std::path::Path) -> Watched<String> {
        let file = path.to_owned();
        let load = move || fs::read_to_string(&file).map_err(|e| OpenError::new(e.to_string()));
        let options = Options { check_every: Duration::ZERO, ..Options::default() };
        Watched::new(vec![path.to_owned()], &options, Box::new(load)).unwrap()
    }

    fn eventually(mut done: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done() {
            assert!(Instant::now() < end, "never happened");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_source_in_work_does_not_keep_its_index_from_being_read() {
        let dir = tempfile::tempdir().unwrap();
        let (index, source) = (dir.path().join("t.db"), dir.path().join("t"));
        fs::write(&index, "old").unwrap();
        fs::write(&source, "").unwrap();
        let file = index.clone();
        let load = move || fs::read_to_string(&file).map_err(|e| OpenError::new(e.to_string()));
        let options = Options { check_every: Duration::ZERO, ..Options::default() };
        let w = Watched::new(vec![index.clone(), source.clone()], &options, Box::new(load)).unwrap();
        fs::write(dir.path().join("new"), "new").unwrap();
        fs::rename(dir.path().join("new"), &index).unwrap();
        eventually(|| {
            fs::write(&source, "again and again").unwrap();
            w.get().is_ok_and(|text| *text == "new")
        });
    }

    #[test]
    fn sees_rewritten_and_replaced_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        fs::write(&path, "one").unwrap();
        let watched = watch(&path);
        assert_eq!(*watched.get().unwrap(), "one");
        fs::write(&path, "two").unwrap();
        eventually(|| *watched.get().unwrap() == "two");
        fs::write(dir.path().join("tmp"), "three").unwrap();
        fs::rename(dir.path().join("tmp"), &path).unwrap();
        eventually(|| *watched.get().unwrap() == "three");
    }

    #[test]
    fn a_file_in_the_making_is_never_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        fs::write(&path, "whole").unwrap();
        let watched = watch(&path);
        fs::write(&path, "").unwrap();
        assert_eq!(*watched.get().unwrap(), "whole");
        fs::write(&path, "whole again").unwrap();
        eventually(|| *watched.get().unwrap() == "whole again");
    }

    #[test]
    fn a_vanished_file_keeps_its_content_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        fs::write(&path, "one").unwrap();
        let watched = watch(&path);
        fs::remove_file(&path).unwrap();
        assert_eq!(*watched.get().unwrap(), "one");
    }

    #[test]
    fn a_large_file_is_read_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        fs::write(&path, "x".repeat(300_000)).unwrap();
        let watched = watch(&path);
        fs::write(&path, "y".repeat(400_000)).unwrap();
        eventually(|| watched.get().unwrap().len() == 400_000);
    }
}
