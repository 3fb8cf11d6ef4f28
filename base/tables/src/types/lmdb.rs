//! `lmdb:name`: the indexed file `name.lmdb`: ours, or an LMDB file.
//!
//! Without the file, the table is built in memory from its source text. postmap(1), LMDB_README.

use super::{Open, TableType};
use crate::indexed::{self, Kind};
use crate::table::{OpenError, Table};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "lmdb", open, suffix: Some(".lmdb") };

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    indexed::open(open, Kind::Lmdb)
}
