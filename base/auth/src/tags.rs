//! Lists of `tag=value` pairs, as DKIM signatures, keys, ARC seals and DMARC records are made of (RFC 6376 3.2).
//!
//! Names are unique in a list; blanks and folds around names and values do not count.

use base64::{
    Engine, alphabet, engine::DecodePaddingMode, engine::GeneralPurpose, engine::GeneralPurposeConfig,
};

/// The most pairs of a list.
const MAX_TAGS: usize = 100;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The pairs of a list, in order.
pub(crate) struct Tags<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Tags<'a> {
    /// `None`: the text is no such list, or has a name twice.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for part in text.split(';').map(trim).filter(|p| !p.is_empty()) {
            let (name, value) = part.split_once('=')?;
            let (name, value) = (trim(name), trim(value));
            let named = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !named || pairs.iter().any(|(n, _)| *n == name) || pairs.len() >= MAX_TAGS {
                return None;
            }
            pairs.push((name, value));
        }
        Some(Self(pairs))
    }

    /// The value of a tag.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    /// The first tag, which some lists begin with.
    pub fn first(&self) -> Option<(&'a str, &'a str)> {
        self.0.first().copied()
    }

    /// A number of at most twelve digits; `Err`: something else stands there.
    pub fn number(&self, name: &str) -> Result<Option<u64>, ()> {
        match self.get(name) {
            None => Ok(None),
            Some(v) if v.len() <= 12 && v.bytes().all(|b| b.is_ascii_digit()) => {
                v.parse().map(Some).map_err(|_| ())
            }
            Some(_) => Err(()),
        }
    }

    /// A base64 value, which may be folded.
    pub fn binary(&self, name: &str) -> Option<Vec<u8>> {
        decode(self.get(name)?)
    }

    /// The parts of a value between colons.
    pub fn parts(&self, name: &str) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
        Some(self.get(name)?.split(':').map(trim))
    }
}

/// Base64 with blanks and line ends in it.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let packed: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    BASE64.decode(packed).ok()
}

/// Base64 as we write it.
pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// A header with the value of its `b=` tag taken out (RFC 6376 3.5).
pub(crate) fn without_signature(raw: &[u8]) -> Vec<u8> {
    let start = memchr(b':', raw).map_or(0, |at| at + 1);
    let (mut out, mut rest) =
        (raw.get(..start).unwrap_or_default().to_vec(), raw.get(start..).unwrap_or_default());
    loop {
        let end = memchr(b';', rest).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        match memchr(b'=', part) {
            Some(at) if part.get(..at).is_some_and(|n| n.trim_ascii() == b"b") => {
                out.extend_from_slice(part.get(..=at).unwrap_or_default());
                if after.is_empty() && part.ends_with(b"\r\n") {
                    out.extend_from_slice(b"\r\n");
                }
            }
            _ => out.extend_from_slice(part),
        }
        match after {
            [semicolon, more @ ..] => {
                out.push(*semicolon);
                rest = more;
            }
            [] => return out,
        }
    }
}

fn memchr(byte: u8, text: &[u8]) -> Option<usize> {
    text.iter().position(|b| *b == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let t = Tags::parse(b" v=1; a = rsa-sha256;\r\n\tb= YW\r\n\t Jj ;").expect("a list");
        assert_eq!((t.get("v"), t.get("a"), t.get("x")), (Some("1"), Some("rsa-sha256"), None));
        assert_eq!((t.first(), t.binary("b")), (Some(("v", "1")), Some(b"abc".to_vec())));
        for bad in ["a=1; a=2", "x", "1a=2", "=", "a b=1"] {
            assert!(Tags::parse(bad.as_bytes()).is_none(), "{bad}");
        }
        let t = Tags::parse(b"t=12; l=-1; h=a : b").expect("a list");
        assert_eq!((t.number("t"), t.number("l"), t.number("q")), (Ok(Some(12)), Err(()), Ok(None)));
        assert_eq!(t.parts("h").map(|p| p.collect::<Vec<_>>()), Some(vec!["a", "b"]));
    }

    #[test]
    fn signatures_are_taken_out() {
        for (raw, want) in [
            ("X: a=1; b=xyz\r\n abc; c=2\r\n", "X: a=1; b=; c=2\r\n"),
            ("X: a=1; bh=xyz; b=abc\r\n\t def\r\n", "X: a=1; bh=xyz; b=\r\n"),
            ("X: b = q; d=b=1", "X: b =; d=b=1"),
        ] {
            assert_eq!(String::from_utf8_lossy(&without_signature(raw.as_bytes())), want);
        }
    }
}
