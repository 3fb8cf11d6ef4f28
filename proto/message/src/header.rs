//! One logical header: all its lines.

use crate::{Known, known};
use std::borrow::Cow;

/// A header as it came: its lines with their CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    raw: &'a [u8],
    /// Length of the name.
    name: usize,
    /// Position of the colon.
    colon: usize,
}

/// The length of the header name at the start of `line` and the position of its colon: printable ASCII without
/// colon and blanks, then blanks (RFC 5322 4.5.3), then the colon.
fn split_name(line: &[u8]) -> Option<(usize, usize)> {
    let name = line.iter().position(|b| !matches!(b, b'!'..=b'9' | b';'..=b'~'))?;
    let blanks = line.get(name..)?.iter().position(|b| !matches!(b, b' ' | b'\t'))?;
    let colon = name + blanks;
    (name > 0 && line.get(colon) == Some(&b':')).then_some((name, colon))
}

impl<'a> Header<'a> {
    /// Takes `raw` as a header; `None` when its first line is not one.
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        let (name, colon) = split_name(raw)?;
        Some(Self { raw, name, colon })
    }

    /// All lines, with the last CRLF.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The name as written, without blanks.
    pub fn name(&self) -> &'a [u8] {
        self.raw.get(..self.name).unwrap_or_default()
    }

    /// From the colon to the end, last CRLF included.
    pub fn from_colon(&self) -> &'a [u8] {
        self.raw.get(self.colon..).unwrap_or_default()
    }

    /// Blanks stood between name and colon; they are left out when the header is passed on.
    pub fn has_blank_before_colon(&self) -> bool {
        self.name != self.colon
    }

    /// The value: without leading blanks (folds included) and without the last line end.
    pub fn value(&self) -> &'a [u8] {
        let mut v = self.raw.get(self.colon + 1..).unwrap_or_default();
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = v {
            v = rest;
        }
        v.strip_suffix(b"\r\n").unwrap_or(v)
    }

    /// What is known of headers of this name.
    pub fn known(&self) -> Option<&'static Known> {
        known(self.name())
    }
}

/// The part of a header's text that `header_size_limit` lets pass on: that many bytes, a line end counting one. The
/// result ends with CRLF.
pub fn truncated(raw: &[u8], limit: usize) -> Cow<'_, [u8]> {
    if raw.len() <= limit {
        return Cow::Borrowed(raw);
    }
    let text = raw.strip_suffix(b"\r\n").unwrap_or(raw);
    let folds = |text: &[u8]| memchr::memmem::find_iter(text, b"\r\n").count();
    if text.len() - folds(text) <= limit {
        return Cow::Borrowed(raw);
    }
    let mut end = limit;
    while let Some(kept) = text.get(..end) {
        let short = limit + folds(kept) - end;
        if short == 0 {
            break;
        }
        end += short;
    }
    let mut out = text.get(..end).unwrap_or(text).to_vec();
    while out.ends_with(b"\r") || out.ends_with(b"\n") {
        out.pop();
    }
    out.extend_from_slice(b"\r\n");
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_limit_leaves() {
        for (raw, limit, want) in [
            ("A: 45\r\n", 5, "A: 45\r\n"),
            ("A: 456\r\n", 5, "A: 45\r\n"),
            ("A: 4\r\n b\r\n", 5, "A: 4\r\n"),
            ("A: 4\r\n b\r\n", 6, "A: 4\r\n \r\n"),
            ("A: 4\r\n b\r\n", 7, "A: 4\r\n b\r\n"),
            ("A: 4\r\n b\r\n c\r\n", 9, "A: 4\r\n b\r\n \r\n"),
        ] {
            assert_eq!(truncated(raw.as_bytes(), limit), want.as_bytes(), "{raw:?} {limit}");
        }
    }

    #[test]
    fn names_and_values() {
        let check = |raw: &'static str, want: Option<(&str, &str)>| {
            let got = Header::parse(raw.as_bytes());
            let got = got.map(|h| (h.name().to_vec(), h.value().to_vec()));
            assert_eq!(got, want.map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())), "{raw}");
        };
        check("To: x\r\n", Some(("To", "x")));
        check("To : x \r\n", Some(("To", "x ")));
        check("To\t:x", Some(("To", "x")));
        check("X:\r\n <a>\r\n b\r\n", Some(("X", "<a>\r\n b")));
        check("X:\r\n", Some(("X", "")));
        for bad in [
            "",
            ":x\r\n",
            "X Y: z\r\n",
            " X: y\r\n",
            "X\u{e9}: y\r\n",
            "nothing\r\n",
            "X\r\n :y\r\n",
            ">From x: y\r\n",
        ] {
            check(bad, None);
        }
    }
}
