//! Caches that outlive a restart: `address_verify_map`, `postscreen_cache_map` and the like.
//!
//! A [`Cache`] answers from memory and is bounded. What changes is written to its table (`hash:`, `btree:`, `lmdb:`; the
//! whole file, beside its place and renamed over it) by a task, soon but not at once: after a crash the newest entries are
//! missing, which costs a cache nothing but work. When another program (`postmap -d`) has changed the file, the file
//! wins. [`Caches`] opens each table once for all configurations of a process. A file that cannot be read or written is
//! reported, and the cache goes on in memory.

mod cache;
mod file;

pub use cache::Cache;

use base_tables::Warn;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// The caches of a process.
pub struct Caches {
    open: Mutex<HashMap<String, Weak<Cache>>>,
    warn: Warn,
}

impl Caches {
    /// None is open yet. `warn` gets what goes wrong with files.
    pub fn new(warn: Warn) -> Self {
        Self { open: Mutex::default(), warn }
    }

    /// The cache behind `spec` (`type:name`); empty for one in memory of its own. Must run within a tokio runtime, which
    /// then writes changes for as long as somebody holds the cache.
    pub fn open(&self, spec: &str) -> Arc<Cache> {
        if spec.is_empty() {
            return Arc::new(Cache::volatile());
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, c| c.strong_count() > 0);
        if let Some(cache) = open.get(spec).and_then(Weak::upgrade) {
            return cache;
        }
        let cache = Arc::new(Cache::load(spec, self.warn.clone()));
        cache::keep_written(&cache);
        open.insert(spec.to_owned(), Arc::downgrade(&cache));
        cache
    }

    /// Writes all that is not written yet; at the end of the process. Blocks.
    pub fn flush(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().filter_map(Weak::upgrade).for_each(|c| c.synchronize());
    }
}
