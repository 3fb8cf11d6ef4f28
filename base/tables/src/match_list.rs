//! Match lists: `mynetworks`, `mydestination`, `debug_peer_list` …
//!
//! Elements are asked in order and the first that matches decides: a name, a host name or address
//! pattern, `type:table` (any answer counts), `/file/name` (its content stands in its place), each
//! with `!` in front to exclude.

use crate::tables::Tables;
use crate::{Fut, TableError};
use std::net::IpAddr;

/// What the patterns are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchKind {
    /// Whole strings, without regard to case.
    String,
    /// Domain names, with parent domains by `parent_matches`.
    Domain,
    /// Host names and network addresses, as in `mynetworks`.
    Host,
}

/// A parsed list.
#[derive(Clone)]
pub struct MatchList {
    title: String,
}

impl MatchList {
    /// Parses `text`, the value of `param`. With `parent_matches`, `example.com` also matches
    /// `sub.example.com`; else `.example.com` does.
    pub fn open(tables: &Tables, param: &str, text: &str, kind: MatchKind, parent_matches: bool) -> MatchList {
        let _ = (tables, text, kind, parent_matches);
        MatchList { title: param.to_owned() }
    }

    /// The parameter this is the value of.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// True when the list has no element.
    pub fn is_empty(&self) -> bool {
        todo!()
    }

    /// Does the list match this name (String and Domain lists; for Host lists a host name)?
    pub fn matches<'a>(&'a self, name: &'a str) -> Fut<'a, Result<bool, TableError>> {
        let _ = name;
        todo!()
    }

    /// Does the list match this client, by name or address?
    pub fn matches_client<'a>(&'a self, name: &'a str, address: IpAddr) -> Fut<'a, Result<bool, TableError>> {
        let _ = (name, address);
        todo!()
    }

    /// [`MatchList::matches`] without waiting; `None` when a table must be asked asynchronously.
    pub fn matches_now(&self, name: &str) -> Option<Result<bool, TableError>> {
        let _ = name;
        todo!()
    }

    /// [`MatchList::matches_client`] without waiting.
    pub fn matches_client_now(&self, name: &str, address: IpAddr) -> Option<Result<bool, TableError>> {
        let _ = (name, address);
        todo!()
    }
}
