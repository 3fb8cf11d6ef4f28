//! `hash:name`: the indexed file `name.db`: ours, or a Berkeley DB file of any type and version.
//!
//! Without the file, the table is built in memory from its source text. postmap(1), DATABASE_README.

use super::{Open, TableType};
use crate::indexed::{self, Kind};
use crate::table::{OpenError, Table};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "hash", open, suffix: Some(".db") };

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    indexed::open(open, Kind::Db)
}
