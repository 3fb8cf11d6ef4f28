//! `texthash:name`: the source text itself, read into memory. DATABASE_README.

use super::{Open, TableType};
use crate::indexed::{self, Kind};
use crate::table::{OpenError, Table};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "texthash", open, suffix: None };

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    indexed::open(open, Kind::Text)
}
