//! `sendmail -t`: whether the header names anybody. Pickup takes the recipients from it; a message without any is not handed over at all.
//!
//! The header is kept until it is complete, or larger than a header is: then pickup has to decide.

use proto_message::{AddressHeader, HeaderStream, Limits, Sink};

/// Largest header that is looked at.
const MAX_HEADER: usize = 1 << 20;
/// Most tokens of a header line.
const MAX_TOKENS: usize = 100_000;

/// The header of a message that is being read.
#[derive(Default)]
pub struct Header {
    bytes: Vec<u8>,
}

impl Header {
    /// Adds a line, or a piece of one. Whether that is enough to know.
    pub fn add(&mut self, piece: &[u8]) -> bool {
        self.bytes.extend_from_slice(piece);
        self.bytes == b"\r\n" || self.bytes.ends_with(b"\r\n\r\n") || self.bytes.len() > MAX_HEADER
    }

    /// What there is, when it names somebody or is too large to be known.
    pub fn with_recipients(&self) -> Option<&[u8]> {
        (self.bytes.len() > MAX_HEADER || self.has_recipients()).then_some(&self.bytes)
    }

    fn has_recipients(&self) -> bool {
        let mut found = Found::default();
        let mut stream = HeaderStream::new(Limits { header_size: MAX_HEADER, ..Limits::default() });
        stream.push(&self.bytes, &mut found);
        stream.finish(&mut found);
        found.resent.unwrap_or(found.usual)
    }
}

/// Whether the recipient headers name anybody; with any of the `Resent-` ones the others do not count: as cleanup takes them.
#[derive(Default)]
struct Found {
    usual: bool,
    resent: Option<bool>,
}

impl Sink for Found {
    fn header(&mut self, header: proto_message::Header<'_>) {
        let Some(known) = header.known().filter(|k| k.extract) else { return };
        let names = AddressHeader::parse(header.value(), MAX_TOKENS).addresses().any(|a| !a.is_empty());
        let found = if known.resent { self.resent.get_or_insert(false) } else { &mut self.usual };
        *found |= names;
    }

    fn end_of_headers(&mut self, _: bool) {}

    fn body(&mut self, _: &[u8]) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_named() {
        for (text, want) in [
            ("To: a@b\r\n\r\n", true),
            ("Subject: x\r\nbCC : a@b\r\n", true),
            ("Subject: x\r\nCc:\r\n\ta@b\r\n\r\n", true),
            ("Resent-To: a\r\n", true),
            ("Resent-Cc:\r\nTo: a@b\r\n\r\n", false),
            ("Resent-Cc: a@b\r\nTo:\r\n\r\n", true),
            ("Resent-From: c@d\r\nTo: a@b\r\n\r\n", true),
            ("To\r\n : a@b\r\n\r\n", false),
            ("To: undisclosed-recipients:;\r\nSubject: a@b\r\n\r\n", false),
            ("To:\r\n\r\nTo: a@b\r\n", false),
            ("no header\r\nTo: a@b\r\n", false),
            ("", false),
        ] {
            let mut header = Header::default();
            header.add(text.as_bytes());
            assert_eq!(header.with_recipients().is_some(), want, "{text}");
        }
    }

    #[test]
    fn enough_at_the_empty_line_or_when_it_is_too_large() {
        let mut header = Header::default();
        assert!(!header.add(b"To: a@b") && !header.add(b"\r\n") && header.add(b"\r\n"));
        assert!(Header::default().add(b"\r\n"));
        let mut header = Header::default();
        assert!(header.add(&[b'x'; MAX_HEADER + 1]) && header.with_recipients().is_some());
    }
}
