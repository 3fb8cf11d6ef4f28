//! `static:value`: the same answer to every key. DATABASE_README.

use super::{Open, TableType};
use crate::lines;
use crate::table::{Answer, OpenError, Table};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "static", open, suffix: None };

struct Static {
    spec: String,
    value: Vec<u8>,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let value = match open.name.starts_with('{') {
        false => open.name,
        true => {
            lines::braces(open.name).map_err(|e| OpenError::new(format!("bad static:name syntax: {e}")))?
        }
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
