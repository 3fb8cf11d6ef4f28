//! Things made from files, made anew when the files change. What cannot be made anew stays as it is, and says so once.

use crate::{Files, Problem};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Files are looked at no more often than this.
const EVERY: Duration = Duration::from_secs(1);

/// Identity and age of a file; `None` when it cannot be looked at.
type Stamp = Option<(u64, u64, i64, i64)>;

fn stamp(files: &Files, path: &Path) -> Stamp {
    let m = files.metadata(path).ok()?;
    Some((m.ino(), m.size(), m.mtime(), m.mtime_nsec()))
}

/// A thing and the files that it is made from.
pub(crate) struct Fresh<T> {
    files: Vec<PathBuf>,
    state: Mutex<State<T>>,
}

struct State<T> {
    made: Option<Result<Arc<T>, Problem>>,
    stamps: Vec<Stamp>,
    looked: Option<Instant>,
}

impl<T> Fresh<T> {
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        Self { files, state: Mutex::new(State { made: None, stamps: Vec::new(), looked: None }) }
    }

    /// The thing as it is now. The texts are for the log: files have changed, but cannot be used.
    pub(crate) fn get(
        &self,
        from: &Files,
        make: impl FnOnce() -> Result<T, Problem>,
    ) -> (Result<Arc<T>, Problem>, Vec<String>) {
        let mut s = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(made) = &s.made
            && s.looked.is_some_and(|t| now.duration_since(t) < EVERY)
        {
            return (made.clone(), Vec::new());
        }
        s.looked = Some(now);
        let stamps: Vec<Stamp> = self.files.iter().map(|f| stamp(from, f)).collect();
        if let Some(made) = &s.made
            && s.stamps == stamps
        {
            return (made.clone(), Vec::new());
        }
        s.stamps = stamps;
        let made = make().map(Arc::new);
        let old = s.made.take();
        let (made, complaints) = match (made, old) {
            (Err(problem), Some(Ok(old))) => {
                let mut lines = problem.lines;
                lines.push("TLS goes on with the certificates that were loaded before".to_owned());
                (Ok(old), lines)
            }
            (made, _) => (made, Vec::new()),
        };
        s.made = Some(made.clone());
        (made, complaints)
    }
}
