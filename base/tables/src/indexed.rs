//! Tables with fixed keys in files: hash, btree, lmdb, cdb, dbm, sdbm and texthash.
//!
//! An indexed file of our own and a constant database are asked in place; a Berkeley DB or LMDB file, or a source text, is read whole
//! into an index in memory, so that nothing another program does to the file can spoil a lookup half way.

use crate::cdb::{Cdb, Damaged};
use crate::fold::fold_if;
use crate::index::{self, Index, IndexFile};
use crate::source::{self, Format};
use crate::table::{Answer, OpenError, Table};
use crate::tables::{Usage, Warn};
use crate::types::Open;
use crate::watch::Watched;
use crate::{TableError, bdb};
use base_sys::opener::{Opener, Plain};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The largest source text or foreign database file, in bytes.
const MAX_TEXT: u64 = 8 << 30;

/// What is behind the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `name.db`.
    Db,
    /// `name.lmdb`.
    Lmdb,
    /// `name.cdb`.
    Cdb,
    /// `name.pag`.
    Pag,
    /// The source text.
    Text,
}

impl Kind {
    fn path(self, name: &str) -> PathBuf {
        match self {
            Kind::Db => format!("{name}.db").into(),
            Kind::Lmdb => format!("{name}.lmdb").into(),
            Kind::Cdb => format!("{name}.cdb").into(),
            Kind::Pag => format!("{name}.pag").into(),
            Kind::Text => name.into(),
        }
    }
}

/// The content of a table.
pub enum Content {
    /// Asked in place.
    File(IndexFile),
    /// A constant database, asked in place.
    Cdb(Box<Cdb>),
    /// In memory.
    Memory(Index),
}

impl Content {
    fn with_nul(&self) -> bool {
        match self {
            Content::File(file) => file.with_nul(),
            Content::Cdb(cdb) => cdb.with_nul(),
            Content::Memory(index) => index.with_nul,
        }
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match self {
            Content::File(file) => file.get(key),
            Content::Cdb(cdb) => cdb.get(key),
            Content::Memory(index) => Ok(index.get(key).map(<[u8]>::to_vec)),
        }
    }

    /// The index, for listing and editing.
    pub fn index(&self) -> io::Result<Cow<'_, Index>> {
        match self {
            Content::File(file) => file.whole().map(Cow::Borrowed),
            Content::Cdb(cdb) => cdb.index().map(Cow::Owned),
            Content::Memory(index) => Ok(Cow::Borrowed(index)),
        }
    }
}

struct Indexed {
    spec: String,
    usage: Usage,
    sorted: bool,
    content: Watched<Content>,
}

/// Opens a table.
pub fn open(open: &Open<'_>, kind: Kind) -> Result<Arc<dyn Table>, OpenError> {
    let (name, usage, warn) = (open.name.to_owned(), open.usage, open.tables.options().warn.clone());
    let path = kind.path(open.name);
    let loaded = path.clone();
    let opener = open.tables.options().opener.clone();
    let files = Files { opener, usage, warn };
    let load = move || files.load(&loaded, &name, kind);
    let mut paths = vec![path];
    if kind != Kind::Text {
        paths.push(open.name.into());
    }
    let content = Watched::new(paths, open.tables.options(), Box::new(load))?;
    let sorted = !open.spec.starts_with("hash:");
    Ok(Arc::new(Indexed { spec: open.spec.to_owned(), usage, sorted, content }))
}

/// How the files of one table are read.
struct Files {
    opener: Arc<dyn Opener>,
    usage: Usage,
    warn: Warn,
}

impl Files {
    fn load(&self, path: &Path, name: &str, kind: Kind) -> Result<Content, OpenError> {
        let failed = |error: io::Error| {
            OpenError::new(format!("open database {}: {}", path.display(), base_sys::system_text(&error)))
        };
        if kind == Kind::Text {
            return self.text(path, Format::TextHash).map_err(failed);
        }
        match open_with(self.opener.as_ref(), path, kind) {
            Ok(content) => {
                self.warn_if_older(path, Path::new(name));
                Ok(content)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let format = if self.usage.substitution { Format::Map } else { Format::Aliases };
                self.text(Path::new(name), format).map_err(|_| failed(error))
            }
            Err(error) if error.get_ref().is_some_and(|e| e.is::<Damaged>()) => {
                Err(OpenError::new(format!("dict_cdbq_open: unable to init {}: {Damaged}", path.display())))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn text(&self, path: &Path, format: Format) -> io::Result<Content> {
        let text = self.opener.read(path, MAX_TEXT)?;
        let name = path.display().to_string();
        Ok(Content::Memory(from_text(&text, &name, format, self.usage, &self.warn)))
    }

    /// Postfix's warning, with its patience: a source changed in the last 100 seconds is being worked on.
    fn warn_if_older(&self, index: &Path, source: &Path) {
        let changed = |path: &Path| self.opener.metadata(path).and_then(|m| m.modified()).ok();
        let (Some(made), Some(written)) = (changed(index), changed(source)) else { return };
        let settled =
            SystemTime::now().duration_since(written).is_ok_and(|age| age > Duration::from_secs(100));
        if written > made && settled {
            let (index, source) = (index.display(), source.display());
            (self.warn)(&format!("database {index} is older than source file {source}"));
        }
    }
}

/// Opens an indexed file: ours, Berkeley DB or LMDB, whatever it is.
pub fn open_file(path: &Path, kind: Kind) -> io::Result<Content> {
    open_with(&Plain, path, kind)
}

fn open_with(opener: &dyn Opener, path: &Path, kind: Kind) -> io::Result<Content> {
    let file = opener.open(path)?;
    let mut start = [0u8; 64];
    let mut filled = 0;
    while let Some(rest) = start.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    if index::is_index(&start) {
        return IndexFile::open(file).map(Content::File);
    }
    match kind {
        Kind::Lmdb => return from_lmdb(&file, path),
        Kind::Cdb => return Cdb::open(file).map(|cdb| Content::Cdb(Box::new(cdb))),
        // What the library of that name made: as if it were not there.
        Kind::Pag => return Err(io::ErrorKind::NotFound.into()),
        Kind::Db | Kind::Text => (),
    }
    base_sys::locks::lock_shared_briefly(&file)?;
    let mut bytes = Vec::new();
    file.take(MAX_TEXT).read_to_end(&mut bytes)?;
    bdb::read(&bytes).map(Content::Memory).map_err(io::Error::other)
}

fn from_lmdb(file: &File, path: &Path) -> io::Result<Content> {
    let mut builder = bdb::NulRule::default();
    base_sys::lmdb::read_all(file, path, |key, value| builder.add(key, value))?;
    Ok(Content::Memory(builder.finish()))
}

fn from_text(text: &[u8], name: &str, format: Format, usage: Usage, warn: &Warn) -> Index {
    let hint = memchr::memchr_iter(b'\n', text).count();
    let mut index = Index::with_capacity(hint, usage.with_nul.unwrap_or(true));
    let duplicate = |line: usize, key: &[u8]| {
        warn(&format!("{name}, line {line}: duplicate entry: \"{}\"", String::from_utf8_lossy(key)));
    };
    source::parse(text, name, format, &|text| warn(text), |entry| {
        let added = fold_if(usage.fold, &entry.key, |key| index.insert(key, &entry.value));
        if !added {
            fold_if(usage.fold, &entry.key, |key| duplicate(entry.line, key));
        }
    });
    index
}

impl Indexed {
    fn error(&self, reason: String) -> TableError {
        TableError { table: self.spec.clone(), reason }
    }

    fn ask(&self, content: &Content, key: &[u8]) -> Answer {
        if self.usage.with_nul.is_some_and(|nul| nul != content.with_nul()) {
            return Ok(None);
        }
        fold_if(self.usage.fold, key, |key| content.get(key)).map_err(|e| self.error(e.to_string()))
    }
}

impl Table for Indexed {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        let answer = self.content.with(|content| self.ask(content, key));
        Some(answer.unwrap_or_else(|error| Err(self.error(error.text))))
    }

    fn entries(&self) -> Option<crate::table::Entries> {
        let content = match self.content.get() {
            Ok(content) => content,
            Err(error) => return Some(Err(self.error(error.text))),
        };
        let index = match content.index() {
            Ok(index) => index,
            Err(error) => return Some(Err(self.error(error.to_string()))),
        };
        let mut all: Vec<_> = index.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
        if self.sorted {
            all.sort();
        }
        Some(Ok(all))
    }
}
