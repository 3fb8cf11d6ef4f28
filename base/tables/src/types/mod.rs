//! The registry of table types: one file and one word in [`TYPES`] each.

use crate::lines;
use crate::table::{OpenError, Table};
use crate::tables::{Tables, Usage};
use std::sync::Arc;

mod btree;
mod cdb;
mod cidr;
mod dbm;
mod debug;
mod environ;
mod fail;
mod hash;
mod inline;
mod internal;
mod lmdb;
pub(crate) mod pcre;
mod pipemap;
mod proxy;
mod randmap;
pub(crate) mod regexp;
mod sdbm;
mod r#static;
mod texthash;
mod unionmap;
mod unix;

/// One table type.
pub struct TableType {
    /// The word before the colon.
    pub name: &'static str,
    /// Opens `type:name`.
    pub open: fn(&Open<'_>) -> Result<Arc<dyn Table>, OpenError>,
    /// What postmap adds to the name of the file it makes; `None` when it cannot make files of this type.
    pub suffix: Option<&'static str>,
}

/// What a type gets to open a table.
pub struct Open<'a> {
    /// To open tables named inside the table.
    pub tables: &'a Tables,
    /// `type:name` as written.
    pub spec: &'a str,
    /// The part after the first colon.
    pub name: &'a str,
    /// How it is used.
    pub usage: Usage,
}

/// Table types that a program adds, or opens in its own way: those that ask a server.
pub trait MoreTypes: Send + Sync {
    /// Opens `open.spec`, whose part before the first colon is `kind`; `None` leaves it to this crate. Asked first.
    fn open(&self, kind: &str, open: &Open<'_>) -> Option<Result<Arc<dyn Table>, OpenError>>;

    /// These types with another main.cf: `settings` has those of tables named without a file (`mysql:name` has
    /// `name_query = …`). `None`: the types have no settings.
    fn with_settings(&self, settings: &str) -> Option<Arc<dyn MoreTypes>> {
        let _ = settings;
        None
    }
}

/// All types, sorted by name (`postconf -m`).
pub static TYPES: &[&TableType] = &[
    &btree::TYPE,
    &cdb::TYPE,
    &cidr::TYPE,
    &dbm::TYPE,
    &debug::TYPE,
    &environ::TYPE,
    &fail::TYPE,
    &hash::TYPE,
    &inline::TYPE,
    &internal::TYPE,
    &lmdb::TYPE,
    &pcre::TYPE,
    &pipemap::TYPE,
    &proxy::TYPE,
    &randmap::TYPE,
    &regexp::TYPE,
    &sdbm::TYPE,
    &r#static::TYPE,
    &texthash::TYPE,
    &unionmap::TYPE,
    &unix::TYPE,
];

/// Types whose answers anybody on the way may make up, and what Postfix calls data that must not come from them.
const UNVOUCHED: [(&str, &str); 4] = [
    ("memcache", "security-sensitive"),
    ("redis", "security-sensitive"),
    ("socketmap", "security-sensitive"),
    ("tcp", "security sensitive"),
];

/// The type of this name.
pub fn find(name: &str) -> Option<&'static TableType> {
    TYPES.binary_search_by(|t| t.name.cmp(name)).ok().and_then(|i| TYPES.get(i)).copied()
}

/// Takes `type:name` apart.
pub fn parse_spec(spec: &str) -> Result<(&'static TableType, &str), OpenError> {
    let (kind, name) = split_spec(spec)?;
    Ok((find(kind).ok_or_else(|| unsupported(kind))?, name))
}

fn split_spec(spec: &str) -> Result<(&str, &str), OpenError> {
    match spec.split_once(':') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => Ok((kind, name)),
        _ => {
            let text = format!("open dictionary: expecting \"type:name\" form instead of \"{spec}\"");
            Err(OpenError::new(text))
        }
    }
}

fn unsupported(kind: &str) -> OpenError {
    OpenError::new(format!("unsupported dictionary type: {kind}"))
}

/// Opens `spec`.
pub(crate) fn open(tables: &Tables, spec: &str, usage: Usage) -> Result<Arc<dyn Table>, OpenError> {
    let (kind, name) = split_spec(spec)?;
    let open = Open { tables, spec, name, usage };
    if tables.options().sensitive
        && let Some((_, words)) = UNVOUCHED.iter().find(|(unvouched, _)| *unvouched == kind)
    {
        return Err(OpenError::new(format!("{spec} map is not allowed for {words} data")));
    }
    if let Some(opened) = tables.options().more.as_ref().and_then(|more| more.open(kind, &open)) {
        return opened;
    }
    (find(kind).ok_or_else(|| unsupported(kind))?.open)(&open)
}

/// The text between the outer braces of `type:{…}`; `need` is what Postfix says the form is.
fn braced_list<'a>(open: &Open<'a>, need: &str) -> Result<&'a str, OpenError> {
    let inner = open.name.strip_prefix('{').and_then(|n| n.strip_suffix('}')).filter(|n| !n.is_empty());
    inner.ok_or_else(|| OpenError::new(format!("bad syntax: \"{}\"; {need}", open.spec)))
}

/// Opens the tables named in `type:{type:name, …}`.
fn inner_tables(open: &Open<'_>, need: &str) -> Result<Vec<Arc<dyn Table>>, OpenError> {
    let mut tables = Vec::new();
    for spec in lines::tokens(braced_list(open, need)?) {
        tables.push(open.tables.try_open(spec, open.usage)?);
    }
    match tables.is_empty() {
        true => Err(OpenError::new(format!("empty table: \"{}\"; {need}", open.spec))),
        false => Ok(tables),
    }
}
