//! `sendmail -t`: whether the header names anybody. Pickup takes the recipients from it; a message without any is not handed over at all.
//!
//! The header is kept until it is complete, or larger than a header is: then pickup has to decide.

use proto_address::Tree;

/// Largest header that is looked at.
const MAX_HEADER: usize = 1 << 20;
/// Most tokens of a header line.
const MAX_TOKENS: usize = 100_000;
/// Who gets the message.
const NAMES: [&str; 6] = ["to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc"];

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

    /// With any `Resent-` recipients header the others do not count.
    fn has_recipients(&self) -> bool {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut found = [None; 2];
        for (name, value) in headers(&text).filter(|(name, _)| NAMES.iter().any(|n| n == name)) {
            let is_resent = name.starts_with("resent-");
            let names = Tree::parse(&value, MAX_TOKENS).addresses().any(|a| !a.is_empty());
            *(if is_resent { &mut found[1] } else { &mut found[0] }).get_or_insert(false) |= names;
        }
        let [usual, resent] = found;
        resent.or(usual) == Some(true)
    }
}

/// The headers in front: names in lower case, values unfolded.
fn headers(text: &str) -> impl Iterator<Item = (String, String)> {
    let mut lines = text.split("\r\n").peekable();
    std::iter::from_fn(move || {
        let (name, value) = lines.next()?.split_once(':')?;
        let mut value = value.to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
            value.push_str(more);
        }
        Some((name.trim_end().to_ascii_lowercase(), value))
    })
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
