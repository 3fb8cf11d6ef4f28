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
    /// What `proxy_write_maps` lists, and who says what proxymap(8) refuses.
    approved: Option<(Vec<String>, Warn)>,
}

impl Caches {
    /// None is open yet. `warn` gets what goes wrong with files.
    pub fn new(warn: Warn) -> Self {
        Self { open: Mutex::default(), warn, approved: None }
    }

    /// Of the tables named with `proxy:` only those in `listed` (proxy_write_maps) are opened; another one is told to
    /// `proxy_warn`, and its cache lives in memory.
    pub fn approving(self, listed: Vec<String>, proxy_warn: Warn) -> Self {
        Self { approved: Some((listed, proxy_warn)), ..self }
    }

    fn is_approved(&self, spec: &str) -> bool {
        let Some((listed, warn)) = &self.approved else { return true };
        let Some(name) = spec.strip_prefix("proxy:").filter(|_| !listed.iter().any(|l| l == spec)) else {
            return true;
        };
        warn(&format!("request for unapproved table: \"{name}\""));
        warn(&format!(
            "to approve this table for read-write access, list {spec} in main.cf:proxy_write_maps"
        ));
        false
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
        let cache = match self.is_approved(spec) {
            true => Arc::new(Cache::load(spec, self.warn.clone())),
            false => Arc::new(Cache::volatile()),
        };
        cache::keep_written(&cache);
        open.insert(spec.to_owned(), Arc::downgrade(&cache));
        cache
    }

    /// Writes all that is not written yet; at the end of the process. Blocks.
    pub fn flush(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().filter_map(Weak::upgrade).for_each(|c| c.synchronize());
    }

    /// The same, for the last time: another process has the files from now on. What the caches learn later stays in memory. Blocks.
    pub fn retire(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().filter_map(Weak::upgrade).for_each(|c| c.retire());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn after_the_last_write_the_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let spec = format!("hash:{}", dir.path().join("cache").display());
        let (old, new) = (Caches::new(Arc::new(|_| ())), Caches::new(Arc::new(|_| ())));
        let cache = old.open(&spec);
        cache.put("a", "1");
        old.retire();
        cache.put("a", "2");
        cache.put("b", "2");
        old.flush();
        let after = new.open(&spec);
        assert_eq!((after.get("a").as_deref(), after.get("b")), (Some("1"), None));
        assert_eq!(cache.get("b").as_deref(), Some("2"));
    }

    #[tokio::test]
    async fn proxymap_approves_what_is_listed() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        let warn = Arc::new(move |text: &str| kept.lock().unwrap().push(text.to_owned()));
        let dir = tempfile::tempdir().unwrap();
        let spec = |name: &str| format!("proxy:hash:{}", dir.path().join(name).display());
        let caches = Caches::new(Arc::new(|_| ())).approving(vec![spec("listed")], warn);
        drop((caches.open(&spec("listed")), caches.open("")));
        assert!(said.lock().unwrap().is_empty());
        drop(caches.open(&spec("other")));
        let (table, whole) = (spec("other").replace("proxy:", ""), spec("other"));
        assert_eq!(
            *said.lock().unwrap(),
            [
                format!("request for unapproved table: \"{table}\""),
                format!(
                    "to approve this table for read-write access, list {whole} in main.cf:proxy_write_maps"
                ),
            ]
        );
    }
}
