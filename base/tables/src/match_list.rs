//! Match lists: `mynetworks`, `mydestination`, `debug_peer_list` …
//!
//! Elements are asked in order and the first that matches decides: a name, a host name or address
//! pattern, `type:table` (any answer counts), `/file/name` (its content stands in its place, and is read
//! again when the file changes), each with `!` in front to exclude. An element that cannot be understood, or whose table fails, makes the
//! answer an error for everything that no earlier element decided.

use crate::maps::DomainForms;
use crate::network::Network;
use crate::table::{OpenError, Table};
use crate::tables::{Tables, Usage, Warn};
use crate::watch::Watched;
use crate::{Fut, TableError, lines};
use std::net::IpAddr;
use std::path::PathBuf;
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
/// The largest file in a list, in bytes.
const MAX_FILE: u64 = 256 << 20;

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
    File(Included),
}

/// `/file/name` in a list: its elements, read again when the file changes.
struct Included {
    name: String,
    elements: Watched<Vec<Element>>,
}

/// What a list says about a name, if anything.
type Decision = Result<Option<bool>, TableError>;

fn parse(tables: &Tables, kind: MatchKind, text: &str, depth: usize) -> Vec<Element> {
    let mut parser = Parser { tables, kind, depth, elements: Vec::new() };
    parser.list(text);
    parser.elements
}

fn is_empty(elements: &[Element]) -> bool {
    elements.iter().all(|element| match &element.pattern {
        Pattern::File(file) => file.elements.get().is_ok_and(|inside| is_empty(&inside)),
        _ => false,
    })
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
        let elements = Arc::new(parse(tables, kind, text, 0));
        let warn = tables.options().warn.clone();
        MatchList { title: param.to_owned(), kind, parent_matches, elements, warn }
    }

    /// The parameter this is the value of.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// True when the list has no element.
    pub fn is_empty(&self) -> bool {
        is_empty(&self.elements)
    }

    /// Does the list match this name (String and Domain lists; for Host lists a host name)?
    pub fn matches<'a>(&'a self, name: &'a str) -> Fut<'a, Result<bool, TableError>> {
        Box::pin(async move { Ok(self.decide(&self.elements, name, None).await? == Some(true)) })
    }

    /// Does the list match this client, by name or address? `name` may be empty.
    pub fn matches_client<'a>(&'a self, name: &'a str, address: IpAddr) -> Fut<'a, Result<bool, TableError>> {
        Box::pin(async move { Ok(self.decide(&self.elements, name, Some(address)).await? == Some(true)) })
    }

    /// [`MatchList::matches`] without waiting; `None` when a table must be asked asynchronously.
    pub fn matches_now(&self, name: &str) -> Option<Result<bool, TableError>> {
        Some(self.decide_now(&self.elements, name, None)?.map(|decided| decided == Some(true)))
    }

    /// [`MatchList::matches_client`] without waiting.
    pub fn matches_client_now(&self, name: &str, address: IpAddr) -> Option<Result<bool, TableError>> {
        Some(self.decide_now(&self.elements, name, Some(address))?.map(|decided| decided == Some(true)))
    }

    /// What the first element that matches says; `None` when none does.
    fn decide<'a>(
        &'a self,
        elements: &'a [Element],
        name: &'a str,
        address: Option<IpAddr>,
    ) -> Fut<'a, Decision> {
        Box::pin(async move {
            for element in elements {
                let hit = match &element.pattern {
                    Pattern::Table(table) => self.in_table(table.as_ref(), name, address).await?,
                    Pattern::File(file) => {
                        let inside = self.content(file)?;
                        match self.decide(&inside, name, address).await? {
                            Some(yes) => return Ok(Some(yes ^ element.negated)),
                            None => false,
                        }
                    }
                    simple => self.simple(simple, name, address)?,
                };
                if hit {
                    return Ok(Some(!element.negated));
                }
            }
            Ok(None)
        })
    }

    fn decide_now(&self, elements: &[Element], name: &str, address: Option<IpAddr>) -> Option<Decision> {
        for element in elements {
            let hit = match &element.pattern {
                Pattern::Table(table) => self.in_table_now(table.as_ref(), name, address)?,
                Pattern::File(file) => {
                    let inside = self.content(file);
                    let decided = match &inside {
                        Ok(inside) => self.decide_now(inside, name, address)?,
                        Err(error) => Err(error.clone()),
                    };
                    match decided {
                        Ok(Some(yes)) => return Some(Ok(Some(yes ^ element.negated))),
                        Ok(None) => Ok(false),
                        Err(error) => Err(error),
                    }
                }
                simple => self.simple(simple, name, address),
            };
            match hit {
                Ok(true) => return Some(Ok(Some(!element.negated))),
                Ok(false) => (),
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(None))
    }

    /// The elements in a file, as it is now.
    fn content(&self, file: &Included) -> Result<Arc<Vec<Element>>, TableError> {
        file.elements.get().map_err(|error| {
            let table = format!("non-existent:{}", file.name);
            (self.warn)(&format!("{table} is unavailable. {}", error.text));
            (self.warn)(&format!("{}: {table}: table lookup problem", self.title));
            TableError { table, reason: error.text }
        })
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
            Pattern::Bad(_) | Pattern::Table(_) | Pattern::File(_) => Ok(false),
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
    depth: usize,
    elements: Vec<Element>,
}

impl Parser<'_> {
    fn list(&mut self, text: &str) {
        for token in lines::tokens(text) {
            if self.elements.len() < MAX_ELEMENTS {
                self.element(token);
            }
        }
    }

    fn element(&mut self, token: &str) {
        let name = token.trim_start_matches('!');
        let negated = (token.len() - name.len()) % 2 == 1;
        if name.starts_with('/') {
            let pattern = Pattern::File(self.file(name));
            return self.elements.push(Element { negated, pattern });
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

    fn file(&self, name: &str) -> Included {
        let (tables, kind, depth) = (self.tables.apart(), self.kind, self.depth + 1);
        let path = PathBuf::from(name);
        let load = move || {
            let failed = |why: &str| OpenError::new(format!("open file {}: {why}", path.display()));
            if depth > MAX_DEPTH {
                return Err(failed("files nested too deeply"));
            }
            let text = tables.options().opener.read(&path, MAX_FILE);
            let text = text.map_err(|error| failed(&base_sys::system_text(&error)))?;
            let lines = lines::lines(&text).map(|line| String::from_utf8_lossy(&line.text).into_owned());
            Ok(parse(&tables, kind, &lines.collect::<Vec<_>>().join(" "), depth))
        };
        let elements = Watched::start(vec![name.into()], self.tables.options(), Box::new(load));
        if let Err(error) = elements.get() {
            (self.tables.options().error)(&error.text);
        }
        Included { name: name.to_owned(), elements }
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

    #[test]
    fn a_file_that_changes_or_comes_later() {
        let dir = tempfile::tempdir().unwrap();
        let (path, inner) = (dir.path().join("list"), dir.path().join("inner"));
        let options = Options { check_every: std::time::Duration::ZERO, ..Options::default() };
        let text = format!("!{} a.ex", path.display());
        let list = MatchList::open(&Tables::new(options), "test", &text, MatchKind::String, false);
        assert!(list.matches_now("a.ex").unwrap().is_err());
        let replace = |path: &std::path::Path, text: &str| {
            let beside = dir.path().join("beside");
            std::fs::write(&beside, text).unwrap();
            std::fs::rename(beside, path).unwrap();
        };
        let check = |name: &str, want: bool| {
            assert_eq!(list.matches_now(name), Some(Ok(want)), "{name}");
            assert_eq!(block_on(list.matches(name)), Ok(want), "{name}");
        };
        replace(&path, "b.ex\n");
        check("a.ex", true);
        replace(&inner, "c.ex\n");
        replace(&path, &format!("a.ex !{}\n", inner.display()));
        check("a.ex", false);
        check("c.ex", true);
        replace(&inner, "d.ex\n");
        check("c.ex", false);
        check("d.ex", true);
    }
}
