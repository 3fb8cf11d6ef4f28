//! `internal:name`: a table of the program's own making, empty when named from outside. DATABASE_README.

use super::{Open, TableType};
use crate::table::{Answer, OpenError, Table};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "internal", open, suffix: None };

struct Internal {
    spec: String,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    Ok(Arc::new(Internal { spec: open.spec.to_owned() }))
}

impl Table for Internal {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, _key: &[u8]) -> Option<Answer> {
        Some(Ok(None))
    }

    fn entries(&self) -> Option<crate::table::Entries> {
        Some(Ok(Vec::new()))
    }
}
