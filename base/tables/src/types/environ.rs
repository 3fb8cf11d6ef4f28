//! `environ:name`: the key names an environment variable. The name after the colon is not used.
//! DATABASE_README.

use super::{Open, TableType};
use crate::fold::fold_if;
use crate::table::{Answer, OpenError, Table};
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "environ", open, suffix: None };

struct Environ {
    spec: String,
    fold: bool,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    Ok(Arc::new(Environ { spec: open.spec.to_owned(), fold: open.usage.fold }))
}

fn variable(name: &[u8]) -> Option<Vec<u8>> {
    if name.is_empty() || name.contains(&0) || name.contains(&b'=') {
        return None;
    }
    std::env::var_os(OsStr::from_bytes(name)).map(OsStringExt::into_vec)
}

impl Table for Environ {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        Some(Ok(fold_if(self.fold, key, variable)))
    }

    fn entries(&self) -> Option<crate::table::Entries> {
        Some(Ok(std::env::vars_os().map(|(k, v)| (k.into_vec(), v.into_vec())).collect()))
    }
}
