//! `proxy:type:name`: the table itself, if `proxy_read_maps` permits it.
//!
//! Tables are shared inside the worker anyway, so there is no server in between. proxymap(8).

use super::{Open, TableType};
use crate::table::{Answer, Fut, OpenError, Table};
use crate::tables::ProxyRead;
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "proxy", open, suffix: None };

struct Proxy {
    spec: String,
    table: Arc<dyn Table>,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let options = open.tables.options();
    if let ProxyRead::Listed(listed) = &options.proxy
        && !listed.iter().any(|l| l == open.spec)
    {
        (options.proxy_warn)(&format!("request for unapproved table: \"{}\"", open.name));
        (options.proxy_warn)(&format!(
            "to approve this table for read-only access, list {} in main.cf:proxy_read_maps",
            open.spec
        ));
        return Err(OpenError::new(format!(
            "proxymap service is not configured for table \"{}\"",
            open.name
        )));
    }
    let table = open.tables.try_open(open.name, open.usage)?;
    Ok(Arc::new(Proxy { spec: open.spec.to_owned(), table }))
}

impl Table for Proxy {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        self.table.lookup_now(key)
    }

    fn lookup<'a>(&'a self, key: &'a [u8]) -> Fut<'a, Answer> {
        self.table.lookup(key)
    }

    fn is_pattern(&self) -> bool {
        self.table.is_pattern()
    }

    fn entries(&self) -> Option<crate::table::Entries> {
        self.table.entries()
    }
}
