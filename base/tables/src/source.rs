//! Source texts of indexed tables: postmap(1) `key value` lines and aliases(5) `name: value` lines.
//!
//! Lines that make no sense are warned about with file and line, in the words of postmap and postalias, and
//! left out.

use crate::aliases;
use crate::lines::{Line, is_space, lines, trim};
use std::borrow::Cow;

/// The format of a source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// postmap: `key value`.
    Map,
    /// texthash: the same, with the warnings worded a little differently.
    TextHash,
    /// postalias: `name: value`.
    Aliases,
}

/// One entry.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The line it starts at.
    pub line: usize,
    /// The key, not folded.
    pub key: Cow<'a, [u8]>,
    /// The value.
    pub value: Cow<'a, [u8]>,
}

/// Calls `each` for every entry of `text`, and `warn` for every line that is none. `path` is named in warnings.
pub fn parse(text: &[u8], path: &str, format: Format, warn: &dyn Fn(&str), mut each: impl FnMut(Entry<'_>)) {
    for line in lines(text) {
        if line.text.first().is_some_and(|b| is_space(*b)) {
            let start = String::from_utf8_lossy(line.text.get(..30).unwrap_or(&line.text)).into_owned();
            let more = if line.text.len() > 30 { "..." } else { "" };
            warn(&format!("{path}: logical line must not start with whitespace: \"{start}{more}\""));
            continue;
        }
        let parsed = match format {
            Format::Aliases => aliases::entry(&line.text).map(|(k, v)| (Cow::Owned(k), Cow::Owned(v))),
            _ => map_entry(&line, format),
        };
        match parsed {
            Err(problem) => warn(&format!("{path}, line {}: {problem}", line.number)),
            Ok((key, value)) => {
                if format != Format::Aliases && key.ends_with(b":") {
                    let what = "record is in \"key: value\" format; is this an alias file?";
                    warn(&format!("{path}, line {}: {what}", line.number));
                }
                each(Entry { line: line.number, key, value });
            }
        }
    }
}

type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

fn map_entry<'a>(line: &'a Line<'_>, format: Format) -> Result<Pair<'a>, String> {
    const IGNORING: &str = " -- ignoring this line";
    let text: &[u8] = &line.text;
    let Some(end) = key_end(text) else {
        return Err(format!("unbalanced '\"' in '{}'{IGNORING}", String::from_utf8_lossy(text)));
    };
    let (key, value) = text.split_at(end);
    let value = trim(value);
    if key.is_empty() || value.is_empty() {
        let ignoring = if format == Format::TextHash { IGNORING } else { "" };
        return Err(format!("expected format: key whitespace value{ignoring}"));
    }
    Ok((Cow::Borrowed(key), Cow::Borrowed(value)))
}

/// Where the key ends: at white space outside of `""`; a backslash takes away the meaning of what follows.
fn key_end(text: &[u8]) -> Option<usize> {
    if let Some(end) = text.iter().position(|b| is_space(*b) || *b == b'"' || *b == b'\\') {
        if text.get(end).is_some_and(|b| is_space(*b)) {
            return Some(end);
        }
    } else {
        return Some(text.len());
    }
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b if !quoted && is_space(*b) => return Some(at),
            _ => (),
        }
    }
    if quoted { None } else { Some(text.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn check(text: &str, format: Format, entries: &[(&str, &str)], warnings: &[&str]) {
        let warned = RefCell::new(Vec::new());
        let mut got = Vec::new();
        parse(text.as_bytes(), "/t", format, &|w| warned.borrow_mut().push(w.to_owned()), |e| {
            let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
            got.push((text(&e.key), text(&e.value)));
        });
        let want: Vec<_> = entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(got, want, "{text:?}");
        assert_eq!(warned.into_inner(), warnings, "{text:?}");
    }

    #[test]
    fn map_lines() {
        use Format::{Map, TextHash};
        check(
            "# c\nkey1 value one\n  continued\nkey2\tvalue two  \n",
            Map,
            &[("key1", "value one  continued"), ("key2", "value two")],
            &[],
        );
        check("lonely\n", Map, &[], &["/t, line 1: expected format: key whitespace value"]);
        check(
            "lonely\n",
            TextHash,
            &[],
            &["/t, line 1: expected format: key whitespace value -- ignoring this line"],
        );
        check(
            "t: v\n",
            Map,
            &[("t:", "v")],
            &["/t, line 1: record is in \"key: value\" format; is this an alias file?"],
        );
        check("\"a b\"@x 2\n", Map, &[("\"a b\"@x", "2")], &[]);
        check("key\\ 4 x\n", Map, &[("key\\ 4", "x")], &[]);
        check("a\"b c\"d 7\n", Map, &[("a\"b c\"d", "7")], &[]);
        check(
            "\"unclosed x 6\n",
            Map,
            &[],
            &["/t, line 1: unbalanced '\"' in '\"unclosed x 6' -- ignoring this line"],
        );
        check(
            "  lead x\na b\n",
            Map,
            &[("a", "b")],
            &["/t: logical line must not start with whitespace: \"  lead x\""],
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text: Vec<u8>) {
            for format in [Format::Map, Format::TextHash, Format::Aliases] {
                parse(&text, "t", format, &|_| (), |_| ());
            }
        }
    }
}
