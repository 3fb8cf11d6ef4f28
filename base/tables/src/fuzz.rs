//! Check functions for arbitrary input, run by the fuzz targets and, over random mutations, by the tests.

use crate::cdb::Cdb;
use crate::index::Index;
use crate::source::{self, Format};
use crate::types::regexp::Posix;
use crate::{MatchKind, MatchList, Options, Table, Tables, Usage, Warn, bdb, prefilter, rules, template};
use std::sync::Arc;

/// Input is a key up to the first newline, then a table.
fn parts(input: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'\n', input) {
        Some(end) => (input.get(..end).unwrap_or_default(), input.get(end + 1..).unwrap_or_default()),
        None => (input, b""),
    }
}

/// Our indexed file: nothing panics; what is read has each of its keys.
pub fn check_index(input: &[u8]) {
    let Ok(index) = Index::from_bytes(input) else { return };
    for (key, value) in index.iter() {
        assert_eq!(index.get(key), Some(value));
    }
}

/// Berkeley DB files: nothing panics.
pub fn check_bdb(input: &[u8]) {
    let _ = bdb::read(input);
}

/// Constant databases: nothing panics; what is read has each of its keys.
pub fn check_cdb(input: &[u8]) {
    let Ok(file) = base_sys::fds::memory_file(input) else { return };
    let Ok(cdb) = Cdb::open(file) else { return };
    let _ = cdb.get(b"key");
    if let Ok(index) = cdb.index() {
        index.iter().for_each(|(key, _)| drop(cdb.get(key)));
    }
}

/// Source texts of all formats; what was read builds an index that reads the same.
pub fn check_source(input: &[u8]) {
    for format in [Format::Map, Format::TextHash, Format::Aliases] {
        let mut index = Index::with_capacity(0, true);
        source::parse(input, "t", format, &|_| (), |entry| {
            index.insert(&entry.key, &entry.value);
        });
        let count = index.len();
        let (records, slots) = index.into_parts();
        let read = Index::from_bytes(&[records, slots].concat()).map(|index| index.len());
        assert_eq!(read, Ok(count));
    }
}

/// regexp: rules: nothing panics, and the prefilter changes no answer.
pub fn check_regexp(input: &[u8]) {
    let warn: Warn = Arc::new(|_: &str| ());
    let (key, text) = parts(input);
    let _ = template::Template::parse(text);
    if key.len() > 200 || text.len() > 500 {
        return;
    }
    let filtered = rules::Rules::<Posix>::parse(text, "t", Usage::LOOKUP, &warn);
    let plain = rules::Rules::<Posix>::parse(text, "t", Usage::LOOKUP, &warn).without_filter();
    assert_eq!(filtered.find(key), plain.find(key));
    let pattern = prefilter::Needs::Pattern(String::from_utf8_lossy(text).into_owned());
    let needs = vec![pattern, prefilter::Needs::Nothing, prefilter::Needs::Nothing];
    let _ = prefilter::Prefilter::new(needs).candidates(key).next(0);
}

/// cidr: and inline tables in their `type:{…}` form, and match lists: nothing panics.
pub fn check_lists(input: &[u8]) {
    let (key, text) = parts(input);
    let (key, text) = (String::from_utf8_lossy(key), String::from_utf8_lossy(text));
    let tables = Tables::new(Options::default());
    for kind in ["cidr", "inline", "static", "randmap"] {
        if let Ok(table) = tables.try_open(&format!("{kind}:{{{text}}}"), Usage::LOOKUP) {
            let _ = Table::lookup_now(table.as_ref(), key.as_bytes());
        }
    }
    // Names of files and tables must not reach the disk.
    let text = text.replace(['/', ':'], "-");
    for kind in [MatchKind::String, MatchKind::Domain, MatchKind::Host] {
        let list = MatchList::open(&tables, "t", &text, kind, true);
        let _ = (list.matches_now(&key), key.parse().map(|ip| list.matches_client_now("", ip)));
    }
}

#[cfg(test)]
mod tests {
    proptest::proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            super::check_index(&bytes);
            super::check_bdb(&bytes);
            super::check_cdb(&bytes);
            super::check_source(&bytes);
            super::check_regexp(&bytes);
            super::check_lists(&bytes);
        }

        #[test]
        fn any_text(text in "[a-z!/{}()=,:.$\\n 0-9\\[\\]-]{0,60}") {
            super::check_source(text.as_bytes());
            super::check_regexp(text.as_bytes());
            super::check_lists(text.as_bytes());
        }
    }
}
