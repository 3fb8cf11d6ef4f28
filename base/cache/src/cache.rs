//! One cache: entries in memory, and which of them the file does not have yet.

use crate::file::{CacheFile, Stamp};
use base_tables::Warn;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// The most entries; some of the others go when one more comes.
const MAX_ENTRIES: usize = if cfg!(test) { 1000 } else { 1_000_000 };
/// The most entries while a counter may come to them.
const MAX_COUNTERS: usize = if cfg!(test) { 100 } else { 100_000 };
/// The longest key and value.
const MAX_TEXT: usize = 8 * 1024;
/// The shortest time between two writes.
const PAUSE: Duration = Duration::from_millis(100);
/// How much longer than a write the pause after it is: writing takes at most a twentieth of the time.
const REST: u32 = 20;
/// How often the file is looked at for changes by others.
const LOOK: Duration = Duration::from_secs(1);

/// See the crate.
pub struct Cache {
    state: Mutex<State>,
    file: Option<CacheFile>,
    warn: Warn,
    changed: Arc<Notify>,
    /// Held while the file is read or written: who has to know that all is in the file waits for a write under way. True: the file is
    /// another process's business.
    retired: Mutex<bool>,
}

#[derive(Default)]
struct State {
    entries: HashMap<String, String>,
    /// Keys whose change the file does not have.
    unwritten: HashSet<String>,
    /// The file as it was when we last read or wrote it.
    stamp: Option<Stamp>,
    /// The last write failed with this.
    trouble: String,
}

impl Cache {
    pub(crate) fn volatile() -> Self {
        Self::over(None, Arc::new(|_| ()))
    }

    pub(crate) fn load(spec: &str, warn: Warn) -> Self {
        let file = CacheFile::new(spec).map_err(|e| warn(&e)).ok();
        let cache = Self::over(file, warn);
        cache.synchronize();
        cache
    }

    fn over(file: Option<CacheFile>, warn: Warn) -> Self {
        Self { state: Mutex::default(), file, warn, changed: Arc::default(), retired: Mutex::default() }
    }

    /// Nobody else is at the file; whether it is none of our business any more.
    fn alone(&self) -> MutexGuard<'_, bool> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<String> {
        self.state().entries.get(key).cloned()
    }

    /// Sets a value. What is longer than a few kilobytes is not kept.
    pub fn put(&self, key: &str, value: &str) {
        if key.len() + value.len() > MAX_TEXT {
            return;
        }
        let mut state = self.state();
        if state.entries.len() >= MAX_ENTRIES && !state.entries.contains_key(key) {
            let gone = state.drop_some();
            if self.file.is_some() {
                state.unwritten.extend(gone);
            }
        }
        state.entries.insert(key.to_owned(), value.to_owned());
        self.touch(state, key);
    }

    /// Counts: adds to the number of a key. Of more than a hundred thousand keys the new ones are not counted.
    pub fn add(&self, key: &str, more: u64) {
        let mut state = self.state();
        let before = state.entries.get(key);
        if key.len() > MAX_TEXT || before.is_none() && state.entries.len() >= MAX_COUNTERS {
            return;
        }
        let before = before.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        state.entries.insert(key.to_owned(), before.saturating_add(more).to_string());
        self.touch(state, key);
    }

    /// Removes a key.
    pub fn remove(&self, key: &str) {
        self.take(key);
    }

    /// Removes a key; the value that it had.
    pub fn take(&self, key: &str) -> Option<String> {
        let mut state = self.state();
        let value = state.entries.remove(key)?;
        self.touch(state, key);
        Some(value)
    }

    /// Removes all entries that are not worth keeping; how many stay and how many went.
    pub fn retain(&self, mut keep: impl FnMut(&str, &str) -> bool) -> (usize, usize) {
        let mut state = self.state();
        let gone: Vec<String> =
            state.entries.iter().filter(|(k, v)| !keep(k, v)).map(|(k, _)| k.clone()).collect();
        for key in &gone {
            state.entries.remove(key);
        }
        let counts = (state.entries.len(), gone.len());
        if self.file.is_some() {
            state.unwritten.extend(gone);
        }
        drop(state);
        self.changed.notify_one();
        counts
    }

    fn touch(&self, mut state: MutexGuard<'_, State>, key: &str) {
        if self.file.is_some() && state.unwritten.insert(key.to_owned()) {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Takes in what others changed in the file, and writes what we changed. Blocks.
    pub(crate) fn synchronize(&self) {
        let Some(file) = &self.file else { return };
        let retired = self.alone();
        if *retired {
            return;
        }
        let stamp = file.stamp();
        let (seen, dirty) = {
            let state = self.state();
            (state.stamp == stamp, !state.unwritten.is_empty())
        };
        if !seen && stamp.is_some() {
            match file.read() {
                Ok(entries) => self.state().take_in(entries, stamp),
                Err(e) => return self.report(e),
            }
        }
        if dirty {
            self.write(file);
        }
    }

    /// Writes what we changed for the last time. Blocks.
    pub(crate) fn retire(&self) {
        self.synchronize();
        *self.alone() = true;
    }

    fn write(&self, file: &CacheFile) {
        let (entries, unwritten) = {
            let mut state = self.state();
            (state.entries.clone(), std::mem::take(&mut state.unwritten))
        };
        match file.write(&entries) {
            Ok(()) => {
                let mut state = self.state();
                state.stamp = file.stamp();
                state.trouble.clear();
            }
            Err(e) => {
                self.state().not_written(unwritten);
                self.report(e);
            }
        }
    }

    /// Says each trouble once.
    fn report(&self, text: String) {
        let mut state = self.state();
        if state.trouble != text {
            (self.warn)(&text);
            state.trouble = text;
        }
    }
}

impl State {
    /// The file's entries replace ours, but for those that we changed since.
    fn take_in(&mut self, mut entries: HashMap<String, String>, stamp: Option<Stamp>) {
        for key in &self.unwritten {
            match self.entries.remove(key) {
                Some(value) => entries.insert(key.clone(), value),
                None => entries.remove(key),
            };
        }
        self.entries = entries;
        self.stamp = stamp;
    }

    fn drop_some(&mut self) -> Vec<String> {
        let some: Vec<String> = self.entries.keys().take(MAX_ENTRIES / 100).cloned().collect();
        for key in &some {
            self.entries.remove(key);
        }
        some
    }

    /// What a file that cannot be written does not have: no more keys than the cache has entries.
    fn not_written(&mut self, keys: HashSet<String>) {
        self.unwritten.extend(keys);
        if self.unwritten.len() > MAX_ENTRIES {
            let entries = &self.entries;
            self.unwritten.retain(|key| entries.contains_key(key));
        }
    }
}

/// Writes changes while somebody holds the cache; one in memory only has nothing to write.
pub(crate) fn keep_written(cache: &Arc<Cache>) {
    if cache.file.is_none() {
        return;
    }
    let (weak, changed) = (Arc::downgrade(cache), Arc::clone(&cache.changed));
    tokio::spawn(async move {
        loop {
            let _ = tokio::time::timeout(LOOK, changed.notified()).await;
            let Some(cache) = weak.upgrade() else { return };
            let started = Instant::now();
            let _ = tokio::task::spawn_blocking(move || cache.synchronize()).await;
            tokio::time::sleep(PAUSE.max(started.elapsed() * REST)).await;
        }
    });
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.synchronize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_with_and_without_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = format!("hash:{}", dir.path().join("none/file").display());
        for cache in [Cache::volatile(), Cache::load(&nowhere, Arc::new(|_| ()))] {
            for i in 0..5 * MAX_ENTRIES {
                cache.put(&i.to_string(), "x");
                if i % MAX_ENTRIES == 0 {
                    cache.synchronize();
                }
            }
            cache.synchronize();
            let state = cache.state();
            assert!(state.entries.len() <= MAX_ENTRIES);
            let most = if cache.file.is_some() { MAX_ENTRIES } else { 0 };
            assert!(state.unwritten.len() <= most, "{} of {most}", state.unwritten.len());
        }
    }

    #[test]
    fn counters() {
        let cache = Cache::volatile();
        for (more, want) in [(1, "1"), (2, "3"), (u64::MAX, "18446744073709551615")] {
            cache.add("a", more);
            assert_eq!(cache.get("a").as_deref(), Some(want));
        }
        for i in 0..2 * MAX_COUNTERS {
            cache.add(&i.to_string(), 1);
        }
        assert_eq!(cache.state().entries.len(), MAX_COUNTERS);
        cache.add("0", 1);
        assert_eq!(cache.take("0").as_deref(), Some("2"));
        assert_eq!(cache.take("0"), None);
    }

    /// The end of a process must not overtake a write that the cache's task has begun.
    #[test]
    fn a_flush_waits_for_a_write_under_way() {
        let dir = tempfile::tempdir().unwrap();
        let spec = format!("lmdb:{}", dir.path().join("cache").display());
        let cache = Cache::load(&spec, Arc::new(|text| panic!("{text}")));
        for i in 0..50 {
            let value = i.to_string();
            cache.put("key", &value);
            std::thread::scope(|scope| {
                scope.spawn(|| cache.synchronize());
                while !cache.state().unwritten.is_empty() {
                    std::thread::yield_now();
                }
                cache.synchronize();
                let found = Cache::load(&spec, Arc::new(|text| panic!("{text}"))).get("key");
                assert_eq!(found.as_deref(), Some(value.as_str()));
            });
        }
    }
}
