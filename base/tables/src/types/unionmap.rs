//! `unionmap:{type:name, …}`: every table is asked, the answers are joined with commas. DATABASE_README.

use super::{Open, TableType};
use crate::TableError;
use crate::table::{Answer, Fut, OpenError, Table};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "unionmap", open, suffix: None };

struct Union {
    spec: String,
    tables: Vec<Arc<dyn Table>>,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let tables = super::inner_tables(open, "need \"unionmap:{type:name...}\"")?;
    Ok(Arc::new(Union { spec: open.spec.to_owned(), tables }))
}

impl Union {
    fn add(&self, all: &mut Option<Vec<u8>>, answer: Answer) -> Result<(), TableError> {
        let found = answer.map_err(|e| TableError { table: self.spec.clone(), reason: e.reason })?;
        let Some(value) = found else { return Ok(()) };
        match all {
            None => *all = Some(value),
            Some(all) => {
                all.push(b',');
                all.extend_from_slice(&value);
            }
        }
        Ok(())
    }
}

impl Table for Union {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        let mut all = None;
        for table in &self.tables {
            if let Err(error) = self.add(&mut all, table.lookup_now(key)?) {
                return Some(Err(error));
            }
        }
        Some(Ok(all))
    }

    fn lookup<'a>(&'a self, key: &'a [u8]) -> Fut<'a, Answer> {
        Box::pin(async move {
            let mut all = None;
            for table in &self.tables {
                self.add(&mut all, table.lookup(key).await)?;
            }
            Ok(all)
        })
    }

    fn is_pattern(&self) -> bool {
        self.tables.iter().any(|t| t.is_pattern())
    }
}
