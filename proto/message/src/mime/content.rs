//! What `Content-Type:` and `Content-Transfer-Encoding:` say. RFC 2045 5.1 and 6.1.
//!
//! Read as Postfix reads them: comments may stand anywhere, a token ends at the first special character, the first
//! boundary counts.

/// The kinds of body that matter to a mail system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Kind {
    /// Text, images, whatever has no structure of its own.
    #[default]
    Plain,
    /// `multipart/*` with this boundary.
    Multipart {
        /// As much of it as `mime_boundary_length_limit` allows.
        boundary: Vec<u8>,
        /// `multipart/digest`: parts are messages unless they say otherwise.
        digest: bool,
    },
    /// `message/rfc822`, `message/global`: headers follow.
    Message,
    /// `message/partial`, `message/external-body`: must be 7bit.
    SevenBitMessage,
    /// Another `message/*`.
    OtherMessage,
}

/// A `Content-Type:` value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContentType {
    /// What the body is.
    pub kind: Kind,
}

/// What the body is made of, by its transfer encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// 7bit, nothing, or nothing that is known.
    #[default]
    SevenBit,
    /// 8bit and binary.
    EightBit,
    /// quoted-printable and base64: text that stands for other text.
    Encoded,
}

impl ContentType {
    /// Reads a value; of a boundary `longest` bytes are kept.
    pub fn parse(value: &[u8], longest: usize) -> Self {
        let mut tokens = Tokens { rest: value };
        let Some(Token::Word(main)) = tokens.next() else { return Self::default() };
        let mut rest = tokens;
        let sub = match (rest.next(), rest.next()) {
            (Some(Token::Special(b'/')), Some(Token::Word(sub))) => sub,
            _ => Vec::new(),
        };
        let is = |word: &[u8], what: &str| word.eq_ignore_ascii_case(what.as_bytes());
        let kind = match () {
            () if is(&main, "multipart") => match boundary(tokens) {
                Some(mut boundary) => {
                    boundary.truncate(longest);
                    Kind::Multipart { boundary, digest: is(&sub, "digest") }
                }
                None => Kind::Plain,
            },
            () if !is(&main, "message") => Kind::Plain,
            () if is(&sub, "rfc822") || is(&sub, "global") => Kind::Message,
            () if is(&sub, "partial") || is(&sub, "external-body") => Kind::SevenBitMessage,
            () => Kind::OtherMessage,
        };
        Self { kind }
    }
}

impl Encoding {
    /// Reads a value: the encoding, and the word that named it.
    pub fn parse(value: &[u8]) -> (Self, Vec<u8>) {
        let Some(Token::Word(word)) = (Tokens { rest: value }).next() else {
            return (Self::SevenBit, Vec::new());
        };
        let encoding = match word.to_ascii_lowercase().as_slice() {
            b"8bit" | b"binary" => Self::EightBit,
            b"quoted-printable" | b"base64" => Self::Encoded,
            _ => Self::SevenBit,
        };
        (encoding, word)
    }
}

/// The first parameter `boundary`, if it is not empty.
fn boundary(mut tokens: Tokens<'_>) -> Option<Vec<u8>> {
    loop {
        while tokens.next()? != Token::Special(b';') {}
        let mut ahead = tokens;
        match (ahead.next()?, ahead.next()?) {
            (Token::Word(name), Token::Special(b'=')) if name.eq_ignore_ascii_case(b"boundary") => {
                return match ahead.next()? {
                    Token::Word(value) | Token::Quoted(value) if !value.is_empty() => Some(value),
                    _ => None,
                };
            }
            _ => {}
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(Vec<u8>),
    Quoted(Vec<u8>),
    Special(u8),
}

#[derive(Clone, Copy)]
struct Tokens<'a> {
    rest: &'a [u8],
}

impl Tokens<'_> {
    fn skip_blank(&mut self) {
        loop {
            match self.rest {
                [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] => self.rest = rest,
                [b'(', ..] => self.comment(),
                _ => return,
            }
        }
    }

    fn comment(&mut self) {
        let (mut level, mut escaped) = (0usize, false);
        let end = self.rest.iter().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'(' => level += 1,
                b')' => level -= 1,
                _ => {}
            }
            level == 0
        });
        self.rest = end.and_then(|end| self.rest.get(end + 1..)).unwrap_or_default();
    }

    fn quoted(&mut self) -> Vec<u8> {
        let (mut text, mut escaped) = (Vec::new(), false);
        while let [byte, rest @ ..] = self.rest {
            self.rest = rest;
            match byte {
                _ if escaped => {
                    text.push(*byte);
                    escaped = false;
                }
                b'\\' => escaped = true,
                b'"' => break,
                b'\r' | b'\n' => {}
                _ => text.push(*byte),
            }
        }
        text
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'(' | b')' | b'<' | b'>' | b'@' | b',' | b';' | b':' | b'\\' | b'"' | b'/' | b'[' | b']')
        || matches!(byte, b'?' | b'=')
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blank();
        let (first, rest) = self.rest.split_first()?;
        match *first {
            b'"' => {
                self.rest = rest;
                Some(Token::Quoted(self.quoted()))
            }
            byte if is_special(byte) => {
                self.rest = rest;
                Some(Token::Special(byte))
            }
            _ => {
                let end = |b: &u8| is_special(*b) || b.is_ascii_whitespace() || b.is_ascii_control();
                let len = self.rest.iter().position(end).unwrap_or(self.rest.len()).max(1);
                let (word, rest) = self.rest.split_at_checked(len)?;
                self.rest = rest;
                Some(Token::Word(word.to_vec()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As seen with Postfix 3.7.11.
    #[test]
    fn boundaries() {
        let table = [
            ("multipart/mixed; boundary=abc", Some("abc")),
            ("MULTIPART/digest (comment; boundary=no); x=y;\r\n boundary=\"out er\" ; z=q", Some("out er")),
            ("multipart / mixed (a) ; (b) boundary (c) = \"x\"; boundary=y", Some("x")),
            ("multipart/mixed; x=\"a;boundary=z\"; boundary=a(b)c", Some("a")),
            ("multipart/mixed; boundary=\"q\\\"q\"", Some("q\"q")),
            ("multipart/mixed; boundary=\"trail  \"", Some("trail  ")),
            ("multipart/mixed; boundary*=a; boundary=", None),
            ("multipart/mixed; boundary=----=_Part", Some("----")),
            ("multipart/mixed; charset=us-ascii boundary=nosemi", None),
            ("multipart; boundary=nosub", Some("nosub")),
            ("multipart/mixed", None),
            ("text/plain; boundary=x", None),
            ("", None),
            (";", None),
        ];
        for (value, want) in table {
            let got = match ContentType::parse(value.as_bytes(), 2048).kind {
                Kind::Multipart { boundary, .. } => Some(String::from_utf8(boundary).unwrap()),
                _ => None,
            };
            assert_eq!(got.as_deref(), want, "{value}");
        }
        let cut = ContentType::parse(b"multipart/digest; boundary=abcdef", 4).kind;
        assert_eq!(cut, Kind::Multipart { boundary: b"abcd".to_vec(), digest: true });
    }

    #[test]
    fn messages_and_encodings() {
        for (value, want) in [
            ("message/rfc822", Kind::Message),
            ("Message/Global; x=y", Kind::Message),
            ("message/partial; id=1", Kind::SevenBitMessage),
            ("message/delivery-status", Kind::OtherMessage),
            ("message", Kind::OtherMessage),
            ("text/rfc822-headers", Kind::Plain),
        ] {
            assert_eq!(ContentType::parse(value.as_bytes(), 10).kind, want, "{value}");
        }
        for (value, want, word) in [
            ("8bit", Encoding::EightBit, "8bit"),
            ("8BIT (comment)", Encoding::EightBit, "8BIT"),
            ("(x) binary;", Encoding::EightBit, "binary"),
            ("Base64", Encoding::Encoded, "Base64"),
            ("x-uu", Encoding::SevenBit, "x-uu"),
            ("", Encoding::SevenBit, ""),
        ] {
            assert_eq!(Encoding::parse(value.as_bytes()), (want, word.as_bytes().to_vec()), "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(value: Vec<u8>, longest in 0usize..10) {
            ContentType::parse(&value, longest);
            Encoding::parse(&value);
        }
    }
}
