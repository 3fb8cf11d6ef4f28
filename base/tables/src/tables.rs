//! The shared table handles of one configuration.
//!
//! [`Tables::open`] gives the same handle for the same `type:name` and usage, however often it is
//! named; a reload makes a new `Tables`, and sessions that run keep the old handles.

use crate::TableError;
use crate::table::{Answer, Fut, OpenError, Table};
use crate::types::MoreTypes;
use base_sys::opener::{Opener, Plain};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How a table is used; part of a handle's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Usage {
    /// Fold keys to lower case in fixed-key tables (regexp-like tables see the key as it is).
    pub fold: bool,
    /// Fold keys to lower case for regexp-like tables too (postmap -F does not; parameters that say so do).
    pub fold_patterns: bool,
    /// Allow `$1` in the results of regexp-like tables. Not for alias databases.
    pub substitution: bool,
    /// With or without the trailing NUL in a Berkeley DB file: `None` tries both.
    pub with_nul: Option<bool>,
}

impl Usage {
    /// The usual lookups: addresses, domains, access tables, transports.
    pub const LOOKUP: Usage = Usage { fold: true, fold_patterns: false, substitution: true, with_nul: None };
    /// Alias databases: no substitution of parts of the address into the result.
    pub const ALIASES: Usage = Usage { substitution: false, ..Usage::LOOKUP };
    /// header_checks and body_checks: the key is content and keeps its case.
    pub const CONTENT: Usage = Usage { fold: false, ..Usage::LOOKUP };
}

/// Receives warnings about tables, one line without the `warning: ` prefix.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// Which tables `proxy:` may open.
#[derive(Debug, Clone, Default)]
pub enum ProxyRead {
    /// Every table (no check).
    #[default]
    Any,
    /// Only the tables that `proxy_read_maps` (and the parameters it names) list as `proxy:type:name`.
    Listed(Vec<String>),
}

/// What [`Tables`] needs to know besides the table names.
#[derive(Clone)]
pub struct Options {
    /// Gets warnings.
    pub warn: Warn,
    /// Gets errors (tables that cannot be opened), in Postfix's words.
    pub error: Warn,
    /// Gets what `debug:` tables tell.
    pub info: Warn,
    /// Gets what proxymap(8) would warn about.
    pub proxy_warn: Warn,
    /// Gets what proxymap(8) would report as an error.
    pub proxy_error: Warn,
    /// The check for `proxy:`.
    pub proxy: ProxyRead,
    /// For names of users, mailboxes and commands: tables that nobody vouches for are refused, and `proxy:` is the table
    /// itself.
    pub sensitive: bool,
    /// The tables behind `proxy:`, one handle for all who have these options: that is what proxymap is for.
    pub proxied: Arc<OnceLock<Arc<Tables>>>,
    /// How often at most a table's file is checked for changes.
    pub check_every: Duration,
    /// Opens the files of tables.
    pub opener: Arc<dyn Opener>,
    /// Opens the table types that this crate does not have, or not for this program.
    pub more: Option<Arc<dyn MoreTypes>>,
}

impl Default for Options {
    fn default() -> Options {
        let quiet: Warn = Arc::new(|_| ());
        Options {
            warn: quiet.clone(),
            error: quiet.clone(),
            info: quiet.clone(),
            proxy_warn: quiet.clone(),
            proxy_error: quiet,
            proxy: ProxyRead::Any,
            proxied: Arc::default(),
            sensitive: false,
            check_every: Duration::from_millis(200),
            opener: Arc::new(Plain),
            more: None,
        }
    }
}

/// Opens tables and shares the handles.
pub struct Tables {
    options: Options,
    handles: Mutex<HashMap<(String, Usage), Arc<dyn Table>>>,
}

impl Tables {
    /// No table is open yet.
    pub fn new(options: Options) -> Arc<Tables> {
        Arc::new(Tables { options, handles: Mutex::default() })
    }

    /// Handles of their own with the same options, for what is opened again and again.
    pub(crate) fn apart(&self) -> Tables {
        Tables { options: self.options.clone(), handles: Mutex::default() }
    }

    /// The options given to [`Tables::new`].
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The handle for `spec` (`type:name`). Never fails: when the table cannot be opened, each lookup
    /// in it gives the reason, and `open_error` on the handle tells it beforehand.
    pub fn open(&self, spec: &str, usage: Usage) -> Arc<dyn Table> {
        let key = (spec.to_owned(), usage);
        if let Some(table) = self.handles.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return table.clone();
        }
        let table = self.try_open(spec, usage).unwrap_or_else(|error| self.failed(spec, usage, error));
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(table).clone()
    }

    fn failed(&self, spec: &str, usage: Usage, error: OpenError) -> Arc<dyn Table> {
        (self.options.error)(&error.text);
        Arc::new(Failed {
            spec: spec.to_owned(),
            error,
            warn: self.options.warn.clone(),
            retry: Retry { tables: self.apart(), usage, started: Instant::now(), next: AtomicU64::new(0) },
            opened: OnceLock::new(),
        })
    }

    /// Opens a table of its own, or says why not (the tools end with that message).
    pub fn try_open(&self, spec: &str, usage: Usage) -> Result<Arc<dyn Table>, OpenError> {
        crate::types::open(self, spec, usage)
    }
}

/// Stands for a table that could not be opened.
struct Failed {
    spec: String,
    error: OpenError,
    warn: Warn,
    retry: Retry,
    opened: OnceLock<Arc<dyn Table>>,
}

/// How to try again, once a second at most.
struct Retry {
    tables: Tables,
    usage: Usage,
    started: Instant,
    next: AtomicU64,
}

impl Retry {
    fn open(&self, spec: &str) -> Option<Arc<dyn Table>> {
        let now = u64::try_from(self.started.elapsed().as_millis()).ok()?;
        let pause = u64::try_from(self.tables.options.check_every.as_millis()).ok()?.min(1000);
        let due = self.next.load(Ordering::Relaxed);
        let ours = now >= due
            && self.next.compare_exchange(due, now + pause, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if ours { self.tables.try_open(spec, self.usage).ok() } else { None }
    }
}

impl Failed {
    fn table(&self) -> Option<&Arc<dyn Table>> {
        if self.opened.get().is_none()
            && let Some(table) = self.retry.open(&self.spec)
        {
            return Some(self.opened.get_or_init(|| table));
        }
        self.opened.get()
    }

    fn unavailable(&self) -> TableError {
        (self.warn)(&format!("{} is unavailable. {}", self.spec, self.error.text));
        TableError { table: self.spec.clone(), reason: self.error.text.clone() }
    }
}

impl Table for Failed {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        if let Some(table) = self.table() {
            return table.lookup_now(key);
        }
        Some(Err(self.unavailable()))
    }

    fn lookup<'a>(&'a self, key: &'a [u8]) -> Fut<'a, Answer> {
        match self.table() {
            Some(table) => table.lookup(key),
            None => Box::pin(std::future::ready(Err(self.unavailable()))),
        }
    }

    fn is_pattern(&self) -> bool {
        match self.opened.get() {
            Some(table) => table.is_pattern(),
            None => ["regexp:", "pcre:", "cidr:"].iter().any(|kind| self.spec.starts_with(kind)),
        }
    }

    fn open_error(&self) -> Option<OpenError> {
        self.opened.get().is_none().then(|| self.error.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_comes_later_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        let tables = Tables::new(Options { check_every: Duration::ZERO, ..Options::default() });
        let table = tables.open(&format!("texthash:{}", path.display()), Usage::LOOKUP);
        assert!(table.lookup_now(b"a").unwrap().is_err());
        assert!(table.open_error().is_some());
        std::fs::write(&path, "a b\n").unwrap();
        assert_eq!(table.lookup_now(b"a"), Some(Ok(Some(b"b".to_vec()))));
        assert!(table.open_error().is_none());
    }

    #[test]
    fn handles_are_shared() {
        let tables = Tables::new(Options::default());
        let (a, b) = (tables.open("static:x", Usage::LOOKUP), tables.open("static:x", Usage::LOOKUP));
        assert!(Arc::ptr_eq(&a, &b));
    }
}
