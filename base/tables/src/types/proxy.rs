//! `proxy:type:name`: the table itself, if `proxy_read_maps` permits it.
//!
//! There is no server in between: all services share one handle of such a table, and its connections. What proxymap(8) would log is logged
//! under its name. Where the data is sensitive proxymap has no say. A table that fails behind it gives the error that the client of proxymap gives.

use super::{Open, TableType};
use crate::TableError;
use crate::table::{Answer, Fut, OpenError, Table};
use crate::tables::{Options, ProxyRead, Tables};
use std::sync::Arc;

pub(super) const TYPE: TableType = TableType { name: "proxy", open, suffix: None };

struct Proxy {
    spec: String,
    table: Arc<dyn Table>,
}

fn open(open: &Open<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let options = open.tables.options();
    let name = open.name;
    if !name.contains(':') {
        return Err(OpenError::new(format!("proxymap open failed for table \"{name}\": invalid request")));
    }
    if options.sensitive {
        return open.tables.try_open(name, open.usage);
    }
    if let ProxyRead::Listed(listed) = &options.proxy
        && !listed.iter().any(|l| l == open.spec)
    {
        (options.proxy_warn)(&format!("request for unapproved table: \"{name}\""));
        (options.proxy_warn)(&format!(
            "to approve this table for read-only access, list {} in main.cf:proxy_read_maps",
            open.spec
        ));
        return Err(OpenError::new(format!("proxymap service is not configured for table \"{name}\"")));
    }
    let behind = options.proxied.get_or_init(|| {
        let (warn, error) = (options.proxy_warn.clone(), options.proxy_error.clone());
        Tables::new(Options { warn, error, proxied: Arc::default(), ..options.clone() })
    });
    Ok(Arc::new(Proxy { spec: open.spec.to_owned(), table: behind.open(name, open.usage) }))
}

impl Proxy {
    fn ours(&self, answer: Answer) -> Answer {
        answer.map_err(|_| TableError { table: self.spec.clone(), reason: "Application error".to_owned() })
    }
}

impl Table for Proxy {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, key: &[u8]) -> Option<Answer> {
        Some(self.ours(self.table.lookup_now(key)?))
    }

    fn lookup<'a>(&'a self, key: &'a [u8]) -> Fut<'a, Answer> {
        Box::pin(async { self.ours(self.table.lookup(key).await) })
    }

    fn is_pattern(&self) -> bool {
        self.table.is_pattern()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Options, ProxyRead, Tables, Usage, Warn};
    use std::sync::{Arc, Mutex};

    #[test]
    fn one_table_for_all_services() {
        let base = Options::default();
        let services = [Tables::new(base.clone()), Tables::new(base.clone())];
        for service in &services {
            let table = service.open("proxy:inline:{a=b}", Usage::LOOKUP);
            assert_eq!(table.lookup_now(b"a"), Some(Ok(Some(b"b".to_vec()))));
        }
        let behind = base.proxied.get().unwrap().open("inline:{a=b}", Usage::LOOKUP);
        // The handle itself, the one here, and one in each service's `proxy:` table.
        assert_eq!(Arc::strong_count(&behind), 4);
    }

    #[test]
    fn only_what_is_listed() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let keep = |prefix: &'static str| -> Warn {
            let said = Arc::clone(&said);
            Arc::new(move |text: &str| said.lock().unwrap().push(format!("{prefix}{text}")))
        };
        let tables = Tables::new(Options {
            proxy: ProxyRead::Listed(vec!["proxy:inline:{a=b}".into(), "proxy:hash:/none".into()]),
            proxy_warn: keep("warning: "),
            proxy_error: keep("error: "),
            ..Options::default()
        });
        let listed = tables.try_open("proxy:inline:{a=b}", Usage::LOOKUP).unwrap();
        assert_eq!(listed.lookup_now(b"a"), Some(Ok(Some(b"b".to_vec()))));
        let down = tables.try_open("proxy:hash:/none", Usage::LOOKUP).unwrap();
        assert_eq!(down.lookup_now(b"a").unwrap().unwrap_err().reason, "Application error");
        let refused = |spec: &str| tables.try_open(spec, Usage::LOOKUP).err().unwrap().text;
        assert_eq!(
            refused("proxy:inline:{a=c}"),
            "proxymap service is not configured for table \"inline:{a=c}\""
        );
        assert_eq!(refused("proxy:x"), "proxymap open failed for table \"x\": invalid request");
        let missing = "open database /none.db: No such file or directory";
        assert_eq!(
            *said.lock().unwrap(),
            [
                format!("error: {missing}"),
                format!("warning: hash:/none is unavailable. {missing}"),
                "warning: request for unapproved table: \"inline:{a=c}\"".into(),
                "warning: to approve this table for read-only access, list proxy:inline:{a=c} in main.cf:proxy_read_maps"
                    .into(),
            ]
        );
    }
}
