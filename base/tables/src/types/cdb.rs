//! `cdb:name`: the constant database `name.cdb`, in the format of cdb and tinycdb. CDB_README.
//!
//! postmap makes it whole; without the file, the table is built in memory from its source text.

use super::{Open, TableType};
use crate::indexed::{self, Kind};
use crate::table::{OpenError, Table};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "cdb", open, suffix: Some(".cdb") };

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    indexed::open(open, Kind::Cdb)
}
