//! `static:value`: the same answer to every key. DATABASE_README.

use super::{Open, TableType};
use crate::table::{Answer, OpenError, Table};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "static", open, builds: false };

struct Static {
    spec: String,
    value: Vec<u8>,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let value = match open.name.strip_prefix('{') {
        None => open.name,
        Some(inner) => inner.strip_suffix('}').map(str::trim).unwrap_or(open.name),
    };
    Ok(Arc::new(Static { spec: open.spec.to_owned(), value: value.as_bytes().to_vec() }))
}

impl Table for Static {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, _key: &[u8]) -> Option<Answer> {
        Some(Ok(Some(self.value.clone())))
    }
}
