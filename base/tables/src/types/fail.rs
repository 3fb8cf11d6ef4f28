//! `fail:name`: every lookup fails. For tests. DATABASE_README.

use super::{Open, TableType};
use crate::TableError;
use crate::table::{Answer, OpenError, Table};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "fail", open, suffix: None };

struct Fail {
    spec: String,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    Ok(Arc::new(Fail { spec: open.spec.to_owned() }))
}

impl Table for Fail {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, _key: &[u8]) -> Option<Answer> {
        Some(Err(TableError { table: self.spec.clone(), reason: "Application error".to_owned() }))
    }
}
