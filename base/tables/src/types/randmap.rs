//! `randmap:{value, …}`: any key gives one of the values, by chance. DATABASE_README.

use super::{Open, TableType};
use crate::lines;
use crate::table::{Answer, OpenError, Table};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "randmap", open, suffix: None };

const NEED: &str = "need \"randmap:{value...}\"";

struct Random {
    spec: String,
    values: Vec<Vec<u8>>,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let values: Vec<_> =
        lines::tokens(super::braced_list(open, NEED)?).map(|v| v.as_bytes().to_vec()).collect();
    if values.is_empty() {
        return Err(OpenError::new(format!("empty table: \"{}\"; {NEED}", open.spec)));
    }
    Ok(Arc::new(Random { spec: open.spec.to_owned(), values }))
}

impl Table for Random {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        // Every RandomState has keys of its own.
        let chance = RandomState::new().hash_one(key);
        let at = usize::try_from(chance).unwrap_or_default() % self.values.len().max(1);
        Some(Ok(self.values.get(at).cloned()))
    }
}
