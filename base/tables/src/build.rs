//! Building and editing indexed files, for postmap(1), postalias(1) and newaliases(1).
//!
//! A file is made beside its place, synced and renamed over it, so readers see the old table or the new one. It keeps
//! owner and mode of the file that was there, else it gets those of its source. Only where the folder does not allow
//! a new file is an existing one written in place, under an exclusive lock; its checksums keep readers from using half
//! of it. Errors carry Postfix's text.

use crate::fold::fold_if;
use crate::index::Index;
use crate::indexed::{self, Kind};
use crate::source;
pub use crate::source::Format;
use crate::table::OpenError;
use crate::types::{self, TableType};
use crate::{aliases, cdb, files};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What to do with a key that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// Warn and keep the old value.
    Warn,
    /// Keep the old value (-w).
    Ignore,
    /// Take the new value (-r).
    Replace,
}

/// How files are built.
#[derive(Debug, Clone, Copy)]
pub struct BuildOptions {
    /// The source's format.
    pub format: Format,
    /// Fold keys to lower case.
    pub fold: bool,
    /// Keys with (-N) or without (-n) trailing NUL; `None` is the default, with.
    pub with_nul: Option<bool>,
    /// Keys that are there already.
    pub duplicates: Duplicates,
    /// Take the read permissions from the source; else mode 0644 (-p).
    pub inherit_mode: bool,
    /// Values name files; their content is stored (-F).
    pub files: bool,
}

/// A table that can be built.
pub struct Builder {
    kind: Kind,
    /// `name`, the source.
    source: PathBuf,
    /// `name.db` or `name.lmdb`.
    path: PathBuf,
    /// The name of the table in warnings.
    title: String,
    index: Index,
    options: BuildOptions,
}

impl Builder {
    /// The type and name of `spec` if files of that type can be built.
    pub fn check(spec: &str) -> Result<(&'static TableType, &str), OpenError> {
        let (kind, name) = types::parse_spec(spec)?;
        match kind.suffix {
            Some(_) => Ok((kind, name)),
            None => Err(OpenError::new(format!("no 'map create' support for this type: {}", kind.name))),
        }
    }

    /// A table without entries. An existing file must be writable.
    pub fn empty(spec: &str, hint: usize, options: BuildOptions) -> Result<Builder, OpenError> {
        let (kind, name) = Builder::check(spec)?;
        let path = PathBuf::from(format!("{name}{}", kind.suffix.unwrap_or_default()));
        if let Err(error) = OpenOptions::new().write(true).open(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(failed(&path, &error));
        }
        let (file, title) = match kind.name {
            "lmdb" => (Kind::Lmdb, spec.to_owned()),
            "cdb" => (Kind::Cdb, name.to_owned()),
            "dbm" | "sdbm" => (Kind::Pag, path.display().to_string()),
            _ => (Kind::Db, path.display().to_string()),
        };
        // Constant databases are made without NUL unless told so.
        let with_nul = options.with_nul.unwrap_or(file != Kind::Cdb);
        Ok(Builder {
            kind: file,
            source: name.into(),
            title,
            path,
            index: Index::with_capacity(hint, with_nul),
            options,
        })
    }

    /// A table with the entries of its file. `create`: without a file it is empty.
    pub fn existing(spec: &str, create: bool, options: BuildOptions) -> Result<Builder, OpenError> {
        let mut builder = Builder::empty(spec, 0, options)?;
        match indexed::open_file(&builder.path, builder.kind) {
            Ok(content) => {
                let old = content.index().map_err(|e| failed(&builder.path, &e))?;
                let nul = options.with_nul.unwrap_or(old.with_nul);
                builder.index = Index::with_capacity(usize::try_from(old.len()).unwrap_or_default(), nul);
                for (key, value) in old.iter() {
                    builder.index.insert(key, value);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && create => (),
            Err(error) => {
                let text =
                    format!("open database {}: {}", builder.path.display(), base_sys::system_text(&error));
                return Err(OpenError::new(text));
            }
        }
        Ok(builder)
    }

    /// Adds the entries of a source text; `name` stands for it in warnings.
    pub fn add_text(&mut self, text: &[u8], name: &str, warn: &dyn Fn(&str)) {
        let options = self.options;
        source::parse(text, name, options.format, warn, |entry| {
            let value = match options.files {
                false => entry.value,
                true => match files::read(&entry.value) {
                    Ok(content) => files::encode(&content).into(),
                    Err(reason) => {
                        return warn(&format!("{name}, line {}: {reason}: skipping this entry", entry.line));
                    }
                },
            };
            fold_if(options.fold, &entry.key, |key| self.add(key, &value, warn));
        });
    }

    fn add(&mut self, key: &[u8], value: &[u8], warn: &dyn Fn(&str)) {
        if self.options.duplicates == Duplicates::Replace {
            return self.index.replace(key, value);
        }
        if !self.index.insert(key, value) && self.options.duplicates == Duplicates::Warn {
            warn(&format!("{}: duplicate entry: \"{}\"", self.title, String::from_utf8_lossy(key)));
        }
    }

    /// Sets an entry.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.index.replace(key, value);
    }

    /// Adds what marks an alias database as finished: the time, this host, and `@: @`.
    pub fn add_alias_marks(&mut self, seconds: u64, host: &str) {
        self.index.replace(b"YP_LAST_MODIFIED", seconds.to_string().as_bytes());
        self.index.replace(b"YP_MASTER_NAME", host.as_bytes());
        self.index.replace(aliases::END_MARK.0, aliases::END_MARK.1);
    }

    /// Removes keys; says how many were there.
    pub fn remove(&mut self, keys: &[Vec<u8>]) -> usize {
        let mut removed = 0;
        for key in keys {
            removed += usize::from(fold_if(self.options.fold, key, |key| self.index.remove(key)));
        }
        removed
    }

    /// Puts the table in its place.
    pub fn finish(self) -> Result<(), OpenError> {
        let (path, look) = (self.path.clone(), self.look());
        let (first, second) = match self.kind {
            Kind::Cdb => {
                let bytes = cdb::make(&self.index).map_err(|e| failed(&path, &io::Error::other(e)))?;
                (bytes, Vec::new())
            }
            _ => self.index.into_parts(),
        };
        write_beside(&path, &look, &[&first, &second]).map_err(|e| failed(&path, &e))
    }

    /// The owner and mode of the file.
    fn look(&self) -> Look {
        if let Ok(old) = fs::metadata(&self.path) {
            return Look { mode: old.mode() & 0o7777, owner: Some((old.uid(), old.gid())) };
        }
        let mode = match fs::metadata(&self.source) {
            Ok(source) if self.options.inherit_mode => 0o600 | (source.mode() & 0o044),
            _ => 0o644,
        };
        Look { mode, owner: None }
    }
}

struct Look {
    mode: u32,
    owner: Option<(u32, u32)>,
}

fn failed(path: &Path, error: &io::Error) -> OpenError {
    OpenError::new(format!("open {}: {}", path.display(), base_sys::system_text(error)))
}

fn write_beside(path: &Path, look: &Look, parts: &[&[u8]]) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.{}.tmp", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(name);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
    let mut file = match made {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && path.exists() => {
            return write_in_place(path, parts);
        }
        Err(error) => return Err(error),
    };
    let done = fill(&mut file, look, parts).and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
        return done;
    }
    // The rename is durable when the folder is.
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

fn fill(file: &mut File, look: &Look, parts: &[&[u8]]) -> io::Result<()> {
    if let Some((uid, gid)) = look.owner {
        // Without the right to give files away the new one belongs to the caller, as any file it makes.
        let _ = std::os::unix::fs::fchown(&*file, Some(uid), Some(gid));
    }
    file.set_permissions(fs::Permissions::from_mode(look.mode))?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

fn write_in_place(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.lock()?;
    file.set_len(0)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
