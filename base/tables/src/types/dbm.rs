//! `dbm:name`: read through an indexed file of ours, `name.pag`, which postmap makes; with a warning, since files that the
//! library of that name made are not understood. Without the file, the table is built from its source text.

use super::{Open, TableType};
use crate::indexed::{self, Kind};
use crate::table::{OpenError, Table};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "dbm", open, suffix: Some(".pag") };

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let table = indexed::open(open, Kind::Pag)?;
    let (spec, name) = (open.spec, open.name);
    (open.tables.options().warn)(&format!(
        "{spec}: dbm files are not read: using the indexed file {name}.pag or the text {name}; lmdb or hash would do the same"
    ));
    Ok(table)
}
