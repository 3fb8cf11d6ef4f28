//! Logical lines of a table's source text, and the tokens of a list.
//!
//! A line that starts with white space continues the one before; empty lines and lines whose first
//! character is `#` do not count, not even between a line and its continuation. postmap(1),
//! regexp_table(5). Lists are split at commas and white space outside of `{}`.

use std::borrow::Cow;

/// One logical line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The number of its first physical line, from 1.
    pub number: usize,
    /// The text without line ends and without white space at its end.
    pub text: Cow<'a, [u8]>,
}

/// The logical lines of a text.
pub struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

/// Iterates over the logical lines of `text`.
pub fn lines(text: &[u8]) -> Lines<'_> {
    Lines { rest: text, number: 0 }
}

/// True for space, tab, newline, carriage return, form feed and vertical tab.
pub fn is_space(byte: u8) -> bool {
    byte == b' ' || (9..=13).contains(&byte)
}

/// Cuts white space off both ends.
pub fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|b| !is_space(*b)).unwrap_or(text.len());
    trim_end(text.get(start..).unwrap_or_default())
}

fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|b| !is_space(*b)).map_or(0, |i| i + 1);
    text.get(..end).unwrap_or_default()
}

fn is_ignored(line: &[u8]) -> bool {
    line.iter().find(|b| !is_space(**b)).is_none_or(|b| *b == b'#')
}

impl<'a> Lines<'a> {
    fn peek(&self) -> Option<(&'a [u8], &'a [u8])> {
        if self.rest.is_empty() {
            return None;
        }
        match memchr::memchr(b'\n', self.rest) {
            Some(end) => Some((self.rest.get(..end)?, self.rest.get(end + 1..)?)),
            None => Some((self.rest, &[])),
        }
    }

    fn physical(&mut self) -> Option<&'a [u8]> {
        let (line, rest) = self.peek()?;
        self.rest = rest;
        self.number += 1;
        Some(line)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let first = loop {
            let line = self.physical()?;
            if !is_ignored(line) {
                break line;
            }
        };
        let number = self.number;
        let mut text = Cow::Borrowed(first);
        while let Some((line, _)) = self.peek() {
            if is_ignored(line) {
                self.physical();
            } else if line.first().is_some_and(|b| is_space(*b)) {
                text.to_mut().extend_from_slice(line);
                self.physical();
            } else {
                break;
            }
        }
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(trim_end(text)),
            Cow::Owned(mut text) => {
                text.truncate(trim_end(&text).len());
                Cow::Owned(text)
            }
        };
        Some(Line { number, text })
    }
}

/// Splits a list at commas and white space that are not inside `{}`.
pub fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(is_separator);
        if rest.is_empty() {
            return None;
        }
        let mut level = 0usize;
        let end = rest.find(|c| {
            match c {
                '{' => level += 1,
                '}' => level = level.saturating_sub(1),
                _ => (),
            }
            level == 0 && is_separator(c)
        });
        let (token, tail) = rest.split_at(end.unwrap_or(rest.len()));
        rest = tail;
        Some(token)
    })
}

fn is_separator(c: char) -> bool {
    matches!(c, ',' | ' ' | '\t' | '\r' | '\n')
}

/// Takes `{ text }` apart: the text without the white space inside the braces. The error is Postfix's
/// wording of what is wrong.
pub fn braces(text: &str) -> Result<&str, String> {
    if !text.starts_with('{') {
        return Err(format!("no '{{' at start of text in \"{text}\""));
    }
    let mut level = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => level += 1,
            '}' => level -= 1,
            _ => (),
        }
        if level > 0 {
            continue;
        }
        let (inner, tail) = (text.get(1..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        if !tail.trim().is_empty() {
            return Err(format!("syntax error after '}}' in \"{text}\""));
        }
        return Ok(inner.trim());
    }
    Err(format!("missing '}}' in \"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(usize, String)> {
        lines(text.as_bytes()).map(|l| (l.number, String::from_utf8_lossy(&l.text).into_owned())).collect()
    }

    #[test]
    fn logical_lines() {
        let cases: &[(&str, &[(usize, &str)])] = &[
            ("", &[]),
            ("\n\n# x\n  # y\n", &[]),
            ("a b", &[(1, "a b")]),
            ("a b  \n", &[(1, "a b")]),
            ("k v one\n  continued\nx y\n", &[(1, "k v one  continued"), (3, "x y")]),
            ("k trail  \n  # no\n\n  cont\n", &[(1, "k trail    cont")]),
            ("#\na\r\nb\r\n", &[(2, "a"), (3, "b")]),
        ];
        for (text, want) in cases {
            let want: Vec<_> = want.iter().map(|(n, t)| (*n, (*t).to_owned())).collect();
            assert_eq!(all(text), want, "{text:?}");
        }
    }

    #[test]
    fn list_tokens() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (" a,b  c\n", &["a", "b", "c"]),
            ("inline:{a=1, b=2},hash:x", &["inline:{a=1, b=2}", "hash:x"]),
            ("{ {a b} c } d", &["{ {a b} c }", "d"]),
            ("{a", &["{a"]),
            ("a} b", &["a}", "b"]),
        ];
        for (text, want) in cases {
            assert_eq!(tokens(text).collect::<Vec<_>>(), *want, "{text:?}");
        }
    }

    #[test]
    fn brace_forms() {
        assert_eq!(braces("{ x y }"), Ok("x y"));
        assert_eq!(braces("{a{b}} "), Ok("a{b}"));
        assert_eq!(braces("{x").unwrap_err(), "missing '}' in \"{x\"");
        assert_eq!(braces("{x}y").unwrap_err(), "syntax error after '}' in \"{x}y\"");
        assert_eq!(braces("/1/").unwrap_err(), "no '{' at start of text in \"/1/\"");
    }
}
