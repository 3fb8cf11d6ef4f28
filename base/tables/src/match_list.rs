//! Match lists: `mynetworks`, `mydestination`, `debug_peer_list` …
//!
//! Elements are asked in order and the first that matches decides: a name, a host name or address
//! pattern, `type:table` (any answer counts), `/file/name` (its content stands in its place), each
//! with `!` in front to exclude. An element that cannot be understood, or whose table fails, makes the
//! answer an error for everything that no earlier element decided.

use crate::maps::DomainForms;
use crate::network::Network;
use crate::table::{OpenError, Table};
use crate::tables::{Tables, Usage, Warn};
use crate::{Fut, TableError, lines};
use std::net::IpAddr;
use std::sync::Arc;

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

/// How deep `/file/name` may nest, and how many elements a list may have.
const MAX_DEPTH: usize = 10;
const MAX_ELEMENTS: usize = 1_000_000;

/// A parsed list.
#[derive(Clone)]
pub struct MatchList {
    title: String,
    kind: MatchKind,
    parent_matches: bool,
    elements: Arc<Vec<Element>>,
    warn: Warn,
}

struct Element {
    negated: bool,
    pattern: Pattern,
}

enum Pattern {
    Name(String),
    Network(Network),
    /// A network pattern that cannot be understood: an error when it is reached.
    Bad(String),
    Table(Arc<dyn Table>),
}

impl MatchList {
    /// Parses `text`, the value of `param`. With `parent_matches`, `example.com` also matches
    /// `sub.example.com`; else `.example.com` does.
    pub fn open(
        tables: &Tables,
        param: &str,
        text: &str,
        kind: MatchKind,
        parent_matches: bool,
    ) -> MatchList {
        let mut parser = Parser { tables, kind, elements: Vec::new() };
        parser.list(text, false, 0);
        let warn = tables.options().warn.clone();
        MatchList { title: param.to_owned(), kind, parent_matches, elements: Arc::new(parser.elements), warn }
    }

    /// The parameter this is the value of.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// True when the list has no element.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Does the list match this name (String and Domain lists; for Host lists a host name)?
    pub fn matches<'a>(&'a self, name: &'a str) -> Fut<'a, Result<bool, TableError>> {
        Box::pin(self.decide(name, None))
    }

    /// Does the list match this client, by name or address? `name` may be empty.
    pub fn matches_client<'a>(&'a self, name: &'a str, address: IpAddr) -> Fut<'a, Result<bool, TableError>> {
        Box::pin(self.decide(name, Some(address)))
    }

    /// [`MatchList::matches`] without waiting; `None` when a table must be asked asynchronously.
    pub fn matches_now(&self, name: &str) -> Option<Result<bool, TableError>> {
        self.decide_now(name, None)
    }

    /// [`MatchList::matches_client`] without waiting.
    pub fn matches_client_now(&self, name: &str, address: IpAddr) -> Option<Result<bool, TableError>> {
        self.decide_now(name, Some(address))
    }

    async fn decide(&self, name: &str, address: Option<IpAddr>) -> Result<bool, TableError> {
        for element in self.elements.iter() {
            let hit = match &element.pattern {
                Pattern::Table(table) => self.in_table(table.as_ref(), name, address).await?,
                simple => self.simple(simple, name, address)?,
            };
            if hit {
                return Ok(!element.negated);
            }
        }
        Ok(false)
    }

    fn decide_now(&self, name: &str, address: Option<IpAddr>) -> Option<Result<bool, TableError>> {
        for element in self.elements.iter() {
            let hit = match &element.pattern {
                Pattern::Table(table) => self.in_table_now(table.as_ref(), name, address)?,
                simple => self.simple(simple, name, address),
            };
            match hit {
                Ok(true) => return Some(Ok(!element.negated)),
                Ok(false) => (),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(false))
    }

    /// A pattern that needs no table.
    fn simple(&self, pattern: &Pattern, name: &str, address: Option<IpAddr>) -> Result<bool, TableError> {
        match pattern {
            Pattern::Name(pattern) => Ok(self.name_matches(pattern, name)),
            Pattern::Network(network) => Ok(address.is_some_and(|a| network.contains(a))),
            Pattern::Bad(reason) if address.is_some() => {
                (self.warn)(&format!("{}: {reason}", self.title));
                Err(TableError { table: self.title.clone(), reason: reason.clone() })
            }
            Pattern::Bad(_) | Pattern::Table(_) => Ok(false),
        }
    }

    fn name_matches(&self, pattern: &str, name: &str) -> bool {
        if pattern.eq_ignore_ascii_case(name) {
            return !name.is_empty();
        }
        if self.kind == MatchKind::String {
            return name.to_lowercase() == pattern;
        }
        let Some(at) = name.len().checked_sub(pattern.len()).filter(|at| *at > 0) else { return false };
        let Some((head, tail)) = name.split_at_checked(at) else { return false };
        let parent = match self.parent_matches {
            true => head.ends_with('.'),
            false => pattern.starts_with('.'),
        };
        parent && tail.eq_ignore_ascii_case(pattern)
    }

    /// The keys for a table: the name, its parents (not for patterns), the address.
    fn keys<'a>(&self, table: &dyn Table, name: &'a str) -> Vec<&'a str> {
        let mut keys = Vec::new();
        if name.is_empty() {
            return keys;
        }
        keys.push(name);
        if self.kind != MatchKind::String && !table.is_pattern() {
            let parents = if self.parent_matches { DomainForms::Parents } else { DomainForms::DotParents };
            keys.extend(parents.of(name));
        }
        keys
    }

    async fn in_table(
        &self,
        table: &dyn Table,
        name: &str,
        address: Option<IpAddr>,
    ) -> Result<bool, TableError> {
        for key in self.keys(table, name) {
            let answer = match table.lookup_now(key.as_bytes()) {
                Some(answer) => answer,
                None => table.lookup(key.as_bytes()).await,
            };
            if self.found(table, answer)? {
                return Ok(true);
            }
        }
        let Some(address) = address else { return Ok(false) };
        let answer = table.lookup(address.to_string().as_bytes()).await;
        self.found(table, answer)
    }

    fn in_table_now(
        &self,
        table: &dyn Table,
        name: &str,
        address: Option<IpAddr>,
    ) -> Option<Result<bool, TableError>> {
        for key in self.keys(table, name) {
            match self.found(table, table.lookup_now(key.as_bytes())?) {
                Ok(false) => (),
                done => return Some(done),
            }
        }
        let Some(address) = address else { return Some(Ok(false)) };
        Some(self.found(table, table.lookup_now(address.to_string().as_bytes())?))
    }

    fn found(&self, table: &dyn Table, answer: crate::table::Answer) -> Result<bool, TableError> {
        if answer.is_err() {
            (self.warn)(&format!("{}: {}: table lookup problem", self.title, table.spec()));
        }
        Ok(answer?.is_some())
    }
}

struct Parser<'a> {
    tables: &'a Tables,
    kind: MatchKind,
    elements: Vec<Element>,
}

impl Parser<'_> {
    fn list(&mut self, text: &str, negated: bool, depth: usize) {
        for token in lines::tokens(text) {
            if self.elements.len() < MAX_ELEMENTS {
                self.element(token, negated, depth);
            }
        }
    }

    fn element(&mut self, token: &str, negated: bool, depth: usize) {
        let name = token.trim_start_matches('!');
        let negated = negated ^ ((token.len() - name.len()) % 2 == 1);
        if name.starts_with('/') {
            return self.file(name, negated, depth);
        }
        let pattern = match name.contains(':') && !name.starts_with('[') {
            true => Pattern::Table(self.tables.open(name, Usage::LOOKUP)),
            false => self.pattern(name),
        };
        self.elements.push(Element { negated, pattern });
    }

    fn pattern(&self, text: &str) -> Pattern {
        if self.kind != MatchKind::Host || !looks_like_address(text) {
            return Pattern::Name(text.to_lowercase());
        }
        match Network::parse(text) {
            Ok(network) => Pattern::Network(network),
            Err(reason) => Pattern::Bad(reason),
        }
    }

    fn file(&mut self, name: &str, negated: bool, depth: usize) {
        let text = match std::fs::read_to_string(name) {
            Ok(text) if depth < MAX_DEPTH => text,
            Ok(_) => return self.missing(name, negated, "files nested too deeply".to_owned()),
            Err(error) => return self.missing(name, negated, base_sys::system_text(&error)),
        };
        for line in lines::lines(text.as_bytes()) {
            self.list(&String::from_utf8_lossy(&line.text), negated, depth + 1);
        }
    }

    fn missing(&mut self, name: &str, negated: bool, reason: String) {
        let error = OpenError::new(format!("open file {name}: {reason}"));
        let table = self.tables.failed(&format!("non-existent:{name}"), error);
        self.elements.push(Element { negated, pattern: Pattern::Table(table) });
    }
}

/// Could the pattern be an address or a network, rather than a host name?
fn looks_like_address(text: &str) -> bool {
    text.starts_with('[')
        || text.contains('/')
        || text.chars().all(|c| c.is_ascii_digit() || c == '.') && text.contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, block_on};

    fn list(text: &str, kind: MatchKind, parents: bool) -> MatchList {
        MatchList::open(&Tables::new(Options::default()), "test", text, kind, parents)
    }

    #[test]
    fn names() {
        use MatchKind::{Domain, String as Text};
        let cases = [
            ("a, b", Text, false, "B", true),
            ("a, b", Text, false, "c", false),
            ("", Text, false, "c", false),
            ("", Domain, false, "", false),
            ("example.com", Domain, false, "Example.COM", true),
            ("example.com", Domain, false, "sub.example.com", false),
            (".example.com", Domain, false, "sub.example.com", true),
            (".example.com", Domain, false, "example.com", false),
            ("example.com", Domain, true, "sub.example.com", true),
            ("example.com", Domain, true, "subexample.com", false),
            ("!x.example.com example.com", Domain, true, "y.x.example.com", false),
            ("!x.example.com example.com", Domain, true, "y.example.com", true),
            ("!!a", Text, false, "a", true),
            ("inline:{a=x}", Text, false, "a", true),
            ("!inline:{a=x} static:ok", Text, false, "a", false),
            ("!inline:{a=x} static:ok", Text, false, "b", true),
            ("inline:{.b.c=x}", Domain, false, "a.b.c", true),
            ("inline:{b.c=x}", Domain, false, "a.b.c", false),
            ("inline:{b.c=x}", Domain, true, "a.b.c", true),
            ("regexp:{{/^b/ x}}", Domain, true, "a.b.c", false),
        ];
        for (text, kind, parents, name, want) in cases {
            let list = list(text, kind, parents);
            assert_eq!(block_on(list.matches(name)), Ok(want), "{text} {name}");
            assert_eq!(list.matches_now(name), Some(Ok(want)), "{text} {name}");
        }
    }

    #[test]
    fn clients() {
        let cases = [
            ("127.0.0.0/8 [::1]/128", "", "127.1.2.3", true),
            ("127.0.0.0/8 [::1]/128", "", "::1", true),
            ("127.0.0.0/8 [::1]/128", "", "::2", false),
            ("192.0.2.1", "", "192.0.2.1", true),
            ("!192.0.2.5, 192.0.2.0/24", "", "192.0.2.5", false),
            ("!192.0.2.5, 192.0.2.0/24", "", "192.0.2.6", true),
            ("[fe80::]/10, [::ffff:0:0]/96", "", "fe80::1", true),
            (".example.com", "a.example.com", "192.0.2.1", true),
            ("example.com", "example.com", "192.0.2.1", true),
            ("cidr:{{10.0.0.0/8 x}}", "unknown", "10.1.1.1", true),
            ("cidr:{{10.0.0.0/8 x}}", "unknown", "11.1.1.1", false),
            ("inline:{10.1.1.1=x}", "unknown", "10.1.1.1", true),
            ("static:all", "unknown", "10.1.1.1", true),
        ];
        for (text, name, address, want) in cases {
            let list = list(text, MatchKind::Host, false);
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(block_on(list.matches_client(name, address)), Ok(want), "{text} {address}");
            assert_eq!(list.matches_client_now(name, address), Some(Ok(want)), "{text} {address}");
        }
    }

    #[test]
    fn bad_elements_are_errors_once_reached() {
        let cases = [
            (
                "10.0.0.1/8",
                "non-null host address bits in \"10.0.0.1/8\", perhaps you should use \"10.0.0.0/8\" instead",
            ),
            ("1.2.3.4/33", "bad mask length in \"1.2.3.4/33\""),
        ];
        for (text, reason) in cases {
            let list = list(&format!("127.0.0.1 {text} 192.0.2.1"), MatchKind::Host, false);
            assert_eq!(block_on(list.matches_client("", "127.0.0.1".parse().unwrap())), Ok(true));
            let error = block_on(list.matches_client("", "192.0.2.1".parse().unwrap())).unwrap_err();
            assert_eq!((error.table.as_str(), error.reason.as_str()), ("test", reason));
        }
        let list = list("a /nonexistent/file b", MatchKind::String, false);
        assert_eq!(list.matches_now("a"), Some(Ok(true)));
        assert!(list.matches_now("b").unwrap().is_err());
    }

    #[test]
    fn files_stand_for_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nets");
        std::fs::write(&path, "# nets\n1.1.1.1 2.2.2.2\n!3.3.3.3, inline:{4.4.4.4=x}\n").unwrap();
        let list = list(&format!("{} 3.3.3.3", path.display()), MatchKind::Host, false);
        for (address, want) in [("1.1.1.1", true), ("2.2.2.2", true), ("3.3.3.3", false), ("4.4.4.4", true)] {
            assert_eq!(list.matches_client_now("", address.parse().unwrap()), Some(Ok(want)), "{address}");
        }
    }
}
