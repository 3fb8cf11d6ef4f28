//! `inline:{ name=value, { name = text with, spaces } }`: the table in the configuration itself.
//! DATABASE_README. A later value for the same name replaces the earlier one.

use super::{Open, TableType};
use crate::fold::fold_if;
use crate::lines;
use crate::table::{Answer, OpenError, Table};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "inline", open, suffix: None };

const NEED: &str = "need \"inline:{name=value...}\"";

struct Inline {
    spec: String,
    fold: bool,
    values: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let inner = super::braced_list(open, NEED)?;
    let bad = |what: &str| OpenError::new(format!("{what}: \"{}\"; {NEED}", open.spec));
    let mut values = BTreeMap::new();
    for token in lines::tokens(inner) {
        let pair = match token.starts_with('{') {
            true => lines::braces(token).map_err(|e| bad(&e))?,
            false => token,
        };
        let (name, value) = pair.split_once('=').ok_or_else(|| bad("missing '=' after attribute name"))?;
        let name = fold_if(open.usage.fold, name.trim().as_bytes(), <[u8]>::to_vec);
        values.insert(name, value.trim().as_bytes().to_vec());
    }
    if values.is_empty() {
        return Err(bad("empty table"));
    }
    Ok(Arc::new(Inline { spec: open.spec.to_owned(), fold: open.usage.fold, values }))
}

impl Table for Inline {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        Some(Ok(fold_if(self.fold, key, |key| self.values.get(key).cloned())))
    }

    fn entries(&self) -> Option<crate::table::Entries> {
        Some(Ok(self.values.iter().map(|(k, v)| (k.clone(), v.clone())).collect()))
    }
}
