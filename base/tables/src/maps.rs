//! A chain of tables, asked in order: the value of `virtual_alias_maps`, `transport_maps` …
//!
//! The first table that has the key answers; a table that fails ends the search with its error.
//! Address and domain lookups follow the order of the manual pages that use them.

use crate::table::{Fut, TableError};
use crate::tables::{Tables, Usage};
use crate::Table;
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
        let specs = text.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|s| !s.is_empty());
        let tables = specs.map(|spec| tables.open(spec, usage)).collect();
        Maps { title: title.to_owned(), tables }
    }

    /// A chain without tables.
    pub fn empty(title: &str) -> Maps {
        Maps { title: title.to_owned(), tables: Vec::new() }
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

    /// The first value for `key`.
    pub fn find<'a>(&'a self, key: &'a str) -> Fut<'a, Result<Option<String>, TableError>> {
        Box::pin(self.search(key))
    }

    /// Like [`Maps::find`] without waiting; `None` when a table must be asked asynchronously.
    pub fn find_now(&self, key: &str) -> Option<Result<Option<String>, TableError>> {
        let _ = key;
        todo!()
    }

    async fn search(&self, key: &str) -> Result<Option<String>, TableError> {
        let _ = key;
        todo!()
    }

    /// Looks an address up by the chosen forms. `address` is in internal (unquoted) form;
    /// `delimiters` is the value of recipient_delimiter.
    pub fn find_address<'a>(
        &'a self,
        address: &'a str,
        delimiters: &'a str,
        forms: AddressForms,
    ) -> Fut<'a, Result<Option<AddressMatch>, TableError>> {
        let _ = (address, delimiters, forms);
        todo!()
    }

    /// Looks a domain (or host) name up, then its parents.
    pub fn find_domain<'a>(
        &'a self,
        domain: &'a str,
        parents: DomainForms,
    ) -> Fut<'a, Result<Option<String>, TableError>> {
        let _ = (domain, parents);
        todo!()
    }
}
