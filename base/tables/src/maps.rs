//! A chain of tables, asked in order: the value of `virtual_alias_maps`, `transport_maps` …
//!
//! The first table that has the key answers; a table that fails ends the search with its error.
//! Address and domain lookups follow the order of the manual pages that use them.

use crate::address::{Form, forms_of};
use crate::table::{Answer, Fut, TableError};
use crate::tables::{Tables, Usage, Warn};
use crate::{Table, lines};
use std::sync::Arc;

/// Which forms of an address are looked up. The order is fixed: the address, without its extension,
/// the local part (with, without extension), the domain and its parents, `@domain`, `local@`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressForms {
    /// `user+ext@domain`.
    pub full: bool,
    /// `user@domain`.
    pub without_extension: bool,
    /// `user+ext`, `user`: set it only when the domain is local (myorigin, mydestination, inet_interfaces).
    pub local_part: bool,
    /// `domain`.
    pub domain: bool,
    /// Parents of the domain.
    pub parents: DomainForms,
    /// `@domain`.
    pub at_domain: bool,
    /// `user+ext@`, `user@`.
    pub local_part_at: bool,
}

/// How parent domains are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainForms {
    /// Not at all.
    None,
    /// `example.com` matches `sub.example.com` (the table is in parent_domain_matches_subdomains).
    Parents,
    /// `.example.com` matches `sub.example.com`.
    DotParents,
}

impl AddressForms {
    /// Only the whole address.
    pub const FULL: AddressForms = AddressForms {
        full: true,
        without_extension: false,
        local_part: false,
        domain: false,
        parents: DomainForms::None,
        at_domain: false,
        local_part_at: false,
    };
    /// canonical(5), virtual(5), generic(5), relocated(5): address, without extension, user when
    /// `local`, `@domain`.
    pub const fn rewriting(local: bool) -> AddressForms {
        AddressForms { without_extension: true, local_part: local, at_domain: true, ..AddressForms::FULL }
    }
    /// transport(5): address, without extension, domain, parents.
    pub const fn transport(parents: DomainForms) -> AddressForms {
        AddressForms { without_extension: true, domain: true, parents, ..AddressForms::FULL }
    }
    /// access(5) for addresses: address, without extension, domain, parents, `user@`.
    pub const fn access(parents: DomainForms) -> AddressForms {
        AddressForms { local_part_at: true, ..AddressForms::transport(parents) }
    }
}

/// A chain of tables.
#[derive(Clone)]
pub struct Maps {
    title: String,
    tables: Vec<Arc<dyn Table>>,
    warn: Warn,
}

/// The value found, and the extension of the address when a form without it matched.
pub type AddressMatch = (String, Option<String>);

impl Maps {
    /// Opens the tables named in `text` ("hash:a, pcre:b") for the usual lookups; `title` is the
    /// parameter, for messages.
    pub fn open(tables: &Tables, title: &str, text: &str) -> Maps {
        Maps::open_for(tables, title, text, Usage::LOOKUP)
    }

    /// Like [`Maps::open`] for another usage.
    pub fn open_for(tables: &Tables, title: &str, text: &str, usage: Usage) -> Maps {
        let warn = tables.options().warn.clone();
        let tables = lines::tokens(text).map(|spec| tables.open(spec, usage)).collect();
        Maps { title: title.to_owned(), tables, warn }
    }

    /// A chain without tables.
    pub fn empty(title: &str) -> Maps {
        Maps { title: title.to_owned(), tables: Vec::new(), warn: Arc::new(|_| ()) }
    }

    /// True when no table is configured.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The parameter this is the value of.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The tables, in order.
    pub fn tables(&self) -> &[Arc<dyn Table>] {
        &self.tables
    }

    /// The first value for `key`. A table that fails is warned about and ends the search.
    pub fn find<'a>(&'a self, key: &'a str) -> Fut<'a, Result<Option<String>, TableError>> {
        Box::pin(self.search(key, false))
    }

    /// Like [`Maps::find`] without waiting; `None` when a table must be asked asynchronously.
    pub fn find_now(&self, key: &str) -> Option<Result<Option<String>, TableError>> {
        for table in &self.tables {
            match self.checked(table.as_ref(), key, table.lookup_now(key.as_bytes())?) {
                Ok(None) => continue,
                done => return Some(done),
            }
        }
        Some(Ok(None))
    }

    /// The first value for a key that need not be text: headers and body lines. As [`Maps::find`] otherwise.
    pub async fn find_content(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        for table in &self.tables {
            let answer = match table.lookup_now(key) {
                Some(answer) => answer,
                None => table.lookup(key).await,
            };
            let shown = || String::from_utf8_lossy(key);
            match answer {
                Ok(None) => {}
                Ok(Some(value)) if !value.is_empty() => return Ok(Some(value)),
                other => {
                    return self.checked(table.as_ref(), &shown(), other).map(|v| v.map(String::into_bytes));
                }
            }
        }
        Ok(None)
    }

    async fn search(&self, key: &str, partial: bool) -> Result<Option<String>, TableError> {
        for table in self.tables.iter().filter(|t| !partial || !t.is_pattern()) {
            let answer = match table.lookup_now(key.as_bytes()) {
                Some(answer) => answer,
                None => table.lookup(key.as_bytes()).await,
            };
            if let Some(value) = self.checked(table.as_ref(), key, answer)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// An empty value is a mistake in the table: an answer that nobody meant.
    fn checked(&self, table: &dyn Table, key: &str, answer: Answer) -> Result<Option<String>, TableError> {
        let value = match answer {
            Ok(None) => return Ok(None),
            Ok(Some(value)) => value,
            Err(error) => {
                (self.warn)(&format!("{} lookup error for \"{key}\"", table.spec()));
                return Err(error);
            }
        };
        if value.is_empty() {
            let spec = table.spec();
            (self.warn)(&format!("table {spec}: key {key}: empty string result is not allowed"));
            (self.warn)(&format!("table {spec} should return NO RESULT in case of NOT FOUND"));
            return Err(TableError { table: spec.to_owned(), reason: "empty string result".to_owned() });
        }
        Ok(Some(match String::from_utf8(value) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }))
    }

    /// Looks an address up by the chosen forms. `address` is in internal (unquoted) form;
    /// `delimiters` is the value of recipient_delimiter.
    pub fn find_address<'a>(
        &'a self,
        address: &'a str,
        delimiters: &'a str,
        forms: AddressForms,
    ) -> Fut<'a, Result<Option<AddressMatch>, TableError>> {
        Box::pin(async move {
            if self.tables.is_empty() {
                return Ok(None);
            }
            for Form { key, partial, without } in forms_of(address, delimiters, forms) {
                if let Some(value) = self.search(&key, partial).await? {
                    return Ok(Some((value, without)));
                }
            }
            Ok(None)
        })
    }

    /// Looks a domain (or host) name up, then its parents.
    pub fn find_domain<'a>(
        &'a self,
        domain: &'a str,
        parents: DomainForms,
    ) -> Fut<'a, Result<Option<String>, TableError>> {
        Box::pin(async move {
            if let Some(value) = self.search(domain, false).await? {
                return Ok(Some(value));
            }
            for parent in parents.of(domain) {
                if let Some(value) = self.search(parent, true).await? {
                    return Ok(Some(value));
                }
            }
            Ok(None)
        })
    }
}

impl DomainForms {
    /// The parent keys of `domain`, nearest first. Addresses have no parents.
    pub fn of(self, domain: &str) -> impl Iterator<Item = &str> {
        let skip = usize::from(self == DomainForms::Parents);
        let none = self == DomainForms::None
            || domain.starts_with('[')
            || domain.parse::<std::net::IpAddr>().is_ok();
        let domain = if none { "" } else { domain };
        domain
            .char_indices()
            .filter(move |(at, c)| *c == '.' && *at > 0)
            .filter_map(move |(at, _)| domain.get(at + skip..))
            .filter(|parent| !parent.trim_start_matches('.').is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, block_on};
    use std::sync::Mutex;

    fn maps(text: &str) -> (Maps, Arc<Mutex<Vec<String>>>) {
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = log.clone();
        let warn: Warn = Arc::new(move |text: &str| sink.lock().unwrap().push(text.to_owned()));
        let tables = Tables::new(Options { warn, ..Options::default() });
        (Maps::open(&tables, "test_maps", text), log)
    }

    #[test]
    fn first_table_with_the_key_answers() {
        let cases = [
            ("inline:{a=1}, inline:{a=2,b=3}", "a", Some("1")),
            ("inline:{a=1}, inline:{a=2,b=3}", "B", Some("3")),
            ("inline:{a=1} static:x", "zz", Some("x")),
            ("inline:{a=1}", "zz", None),
            ("", "a", None),
        ];
        for (text, key, want) in cases {
            let (maps, log) = maps(text);
            assert_eq!(block_on(maps.find(key)).unwrap().as_deref(), want, "{text} {key}");
            assert_eq!(maps.find_now(key).unwrap().unwrap().as_deref(), want, "{text} {key}");
            assert!(log.lock().unwrap().is_empty());
        }
    }

    #[test]
    fn a_failing_table_ends_the_search() {
        let (maps, log) = maps("inline:{a=1}, fail:x, static:y");
        assert_eq!(block_on(maps.find("a")).unwrap().as_deref(), Some("1"));
        assert_eq!(block_on(maps.find("b")).unwrap_err().table, "fail:x");
        assert_eq!(*log.lock().unwrap(), ["fail:x lookup error for \"b\""]);
    }

    #[test]
    fn missing_tables_are_errors_not_absences() {
        let (maps, log) = maps("hash:/nonexistent/x");
        let error = block_on(maps.find("b")).unwrap_err();
        assert_eq!(error.reason, "open database /nonexistent/x.db: No such file or directory");
        let log = log.lock().unwrap();
        assert_eq!(
            *log,
            [
                "hash:/nonexistent/x is unavailable. open database /nonexistent/x.db: No such file or directory",
                "hash:/nonexistent/x lookup error for \"b\""
            ]
        );
    }

    #[test]
    fn empty_results_are_errors() {
        let (maps, log) = maps("inline:{a=}");
        assert!(block_on(maps.find("a")).is_err());
        assert_eq!(log.lock().unwrap().len(), 2);
    }

    #[test]
    #[allow(clippy::type_complexity)]
    fn addresses() {
        let rewriting = AddressForms::rewriting(true);
        let access = AddressForms::access(DomainForms::DotParents);
        let cases: &[(&str, &str, AddressForms, Option<(&str, Option<&str>)>)] = &[
            ("inline:{u+e@d.c=1,u@d.c=2}", "u+e@d.c", rewriting, Some(("1", None))),
            ("inline:{u@d.c=2,@d.c=3}", "u+e@d.c", rewriting, Some(("2", Some("+e")))),
            ("inline:{u+e=4,u=5}", "u+e@d.c", rewriting, Some(("4", None))),
            ("inline:{u=5,@d.c=3}", "u+e@d.c", rewriting, Some(("5", Some("+e")))),
            ("inline:{@d.c=3}", "u+e@d.c", rewriting, Some(("3", None))),
            ("inline:{u=5,@d.c=3}", "u@d.c", AddressForms::rewriting(false), Some(("3", None))),
            ("inline:{.c=6}", "u@d.c", access, Some(("6", None))),
            ("inline:{c=6}", "u@d.c", access, None),
            ("inline:{c=6}", "u@d.c", AddressForms::access(DomainForms::Parents), Some(("6", None))),
            ("inline:{u@=7,d.c=8}", "u+e@d.c", access, Some(("8", None))),
            ("inline:{u@=7}", "u+e@d.c", access, Some(("7", Some("+e")))),
            ("regexp:{{/^u@d/ 9}}", "u+e@d.c", rewriting, None),
            ("regexp:{{/^u.e@d/ 9}}", "u+e@d.c", rewriting, Some(("9", None))),
            ("inline:{{\"a b\"@d.c=10}}", "a b@d.c", rewriting, Some(("10", None))),
            ("inline:{{a b@d.c=11}}", "a b@d.c", rewriting, Some(("11", None))),
            ("inline:{u=5}", "u+e", rewriting, Some(("5", Some("+e")))),
            ("inline:{mailer-daemon@d.c=1}", "mailer-daemon@d.c", rewriting, Some(("1", None))),
        ];
        for (text, address, forms, want) in cases {
            let (maps, _) = maps(text);
            let got = block_on(maps.find_address(address, "+", *forms)).unwrap();
            let want = want.map(|(v, e)| (v.to_owned(), e.map(str::to_owned)));
            assert_eq!(got, want, "{text} {address}");
        }
    }

    #[test]
    fn domains() {
        use DomainForms::{DotParents, None as No, Parents};
        let cases: &[(&str, DomainForms, &[&str])] = &[
            ("a.b.c", Parents, &["b.c", "c"]),
            ("a.b.c", DotParents, &[".b.c", ".c"]),
            ("a.b.c", No, &[]),
            ("[1.2.3.4]", Parents, &[]),
            ("1.2.3.4", DotParents, &[]),
            ("a..", DotParents, &[]),
        ];
        for (name, forms, want) in cases {
            assert_eq!(forms.of(name).collect::<Vec<_>>(), *want, "{name}");
        }
        let (maps, _) = maps("regexp:{{/^b/ no}}, inline:{.b.c=x}");
        assert_eq!(block_on(maps.find_domain("a.b.c", DotParents)).unwrap().as_deref(), Some("x"));
    }
}
