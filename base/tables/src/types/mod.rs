//! The registry of table types: one file and one word in [`TYPES`] each.

use crate::table::{OpenError, Table};
use crate::tables::{Tables, Usage};
use std::sync::Arc;

mod r#static;

/// One table type.
pub struct TableType {
    /// The word before the colon.
    pub name: &'static str,
    /// Opens `type:name`.
    pub open: fn(&Open<'_>) -> Result<Arc<dyn Table>, OpenError>,
    /// True when postmap can make files of this type.
    pub builds: bool,
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

/// All types, sorted by name (`postconf -m`).
pub static TYPES: &[&TableType] = &[&r#static::TYPE];

/// The type of this name.
pub fn find(name: &str) -> Option<&'static TableType> {
    TYPES.binary_search_by(|t| t.name.cmp(name)).ok().and_then(|i| TYPES.get(i)).copied()
}

/// Opens `spec`.
pub(crate) fn open(tables: &Tables, spec: &str, usage: Usage) -> Result<Arc<dyn Table>, OpenError> {
    let (kind, name) = match spec.split_once(':') {
        Some((kind, name)) if !name.is_empty() => (kind, name),
        _ => {
            let text = format!("open dictionary: expecting \"type:name\" form instead of \"{spec}\"");
            return Err(OpenError::new(text));
        }
    };
    let Some(found) = find(kind) else {
        return Err(OpenError::new(format!("unsupported dictionary type: {kind}")));
    };
    (found.open)(&Open { tables, spec, name, usage })
}
