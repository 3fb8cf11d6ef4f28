//! `pipemap:{type:name, …}`: the answer of each table is the key for the next. DATABASE_README.

use super::{Open, TableType};
use crate::TableError;
use crate::table::{Answer, Fut, OpenError, Table};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "pipemap", open, suffix: None };

struct Pipe {
    spec: String,
    tables: Vec<Arc<dyn Table>>,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let tables = super::inner_tables(open, "need \"pipemap:{type:name...}\"")?;
    Ok(Arc::new(Pipe { spec: open.spec.to_owned(), tables }))
}

impl Pipe {
    fn ours(&self, answer: Answer) -> Answer {
        answer.map_err(|e| TableError { table: self.spec.clone(), reason: e.reason })
    }
}

impl Table for Pipe {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        let mut key = key.to_vec();
        for table in &self.tables {
            match self.ours(table.lookup_now(&key)?) {
                Ok(Some(value)) => key = value,
                other => return Some(other),
            }
        }
        Some(Ok(Some(key)))
    }

    fn lookup<'a>(&'a self, key: &'a [u8]) -> Fut<'a, Answer> {
        Box::pin(async move {
            let mut key = key.to_vec();
            for table in &self.tables {
                match self.ours(table.lookup(&key).await)? {
                    Some(value) => key = value,
                    None => return Ok(None),
                }
            }
            Ok(Some(key))
        })
    }

    fn is_pattern(&self) -> bool {
        self.tables.iter().any(|t| t.is_pattern())
    }
}
