//! The table behind a cache: read whole, written whole.

use base_tables::{
    Options, Tables, Usage,
    build::{BuildOptions, Builder, Duplicates, Format},
};
use std::{collections::HashMap, os::unix::fs::MetadataExt, path::PathBuf};

/// What tells one state of a file from another.
pub(crate) type Stamp = (u64, i64, i64, u64);

/// A table that can be written.
pub(crate) struct CacheFile {
    spec: String,
    path: PathBuf,
}

impl CacheFile {
    /// `type:name`. An error when files of that type cannot be written; a leading `proxy:` is taken off.
    pub fn new(spec: &str) -> Result<Self, String> {
        let spec = spec.strip_prefix("proxy:").unwrap_or(spec);
        let (kind, name) = Builder::check(spec).map_err(|e| e.to_string())?;
        let path = format!("{name}{}", kind.suffix.unwrap_or_default()).into();
        Ok(Self { spec: spec.to_owned(), path })
    }

    /// `None` without a file.
    pub fn stamp(&self) -> Option<Stamp> {
        let m = std::fs::metadata(&self.path).ok()?;
        Some((m.ino(), m.mtime(), m.mtime_nsec(), m.len()))
    }

    /// All entries.
    pub fn read(&self) -> Result<HashMap<String, String>, String> {
        let tables = Tables::new(Options::default());
        let table = tables.try_open(&self.spec, Usage::LOOKUP).map_err(|e| e.to_string())?;
        let entries = table.entries().unwrap_or_else(|| Ok(Vec::new())).map_err(|e| e.to_string())?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
        Ok(entries.into_iter().filter_map(|(k, v)| Some((text(k)?, text(v)?))).collect())
    }

    /// Replaces the file.
    pub fn write(&self, entries: &HashMap<String, String>) -> Result<(), String> {
        let options = BuildOptions {
            format: Format::Map,
            fold: false,
            with_nul: None,
            duplicates: Duplicates::Replace,
            inherit_mode: false,
            files: false,
        };
        let mut builder = Builder::empty(&self.spec, entries.len(), options).map_err(|e| e.to_string())?;
        for (key, value) in entries {
            builder.put(key.as_bytes(), value.as_bytes());
        }
        builder.finish().map_err(|e| e.to_string())
    }
}
