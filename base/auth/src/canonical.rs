//! Canonical forms of headers and bodies, and body hashes (RFC 6376 3.4).
//!
//! A body is hashed as it streams by: memory does not depend on its size, nor on how many empty lines it ends with.

use aws_lc_rs::digest::{Context, SHA256};

/// `simple` or `relaxed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Canon {
    /// As it is.
    Simple,
    /// Blanks and case of names do not count.
    Relaxed,
}

impl Canon {
    /// By name.
    pub fn parse(text: &str) -> Option<Self> {
        match () {
            () if text.eq_ignore_ascii_case("simple") => Some(Self::Simple),
            () if text.eq_ignore_ascii_case("relaxed") => Some(Self::Relaxed),
            () => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Relaxed => "relaxed",
        }
    }

    /// Appends the canonical form of a header (all its lines, with the last CRLF) to `out`, with CRLF.
    pub fn header(self, raw: &[u8], out: &mut Vec<u8>) {
        if self == Self::Simple {
            out.extend_from_slice(raw);
            if !raw.ends_with(b"\r\n") {
                out.extend_from_slice(b"\r\n");
            }
            return;
        }
        let colon = raw.iter().position(|b| *b == b':').unwrap_or(raw.len());
        let (name, value) = raw.split_at(colon);
        out.extend(name.trim_ascii_end().iter().map(u8::to_ascii_lowercase));
        out.push(b':');
        let mut blank = false;
        let start = out.len();
        for b in value.iter().skip(1) {
            match b {
                b'\r' | b'\n' => {}
                b' ' | b'\t' => blank = true,
                b => {
                    if std::mem::take(&mut blank) && out.len() > start {
                        out.push(b' ');
                    }
                    out.push(*b);
                }
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// A body being hashed with SHA-256.
pub(crate) struct BodyHash {
    canon: Canon,
    /// `l=`: how much of the canonical form is hashed.
    limit: u64,
    hash: Context,
    /// Canonical bytes so far, those beyond the limit included.
    total: u64,
    /// Empty lines that count when something follows.
    empty_lines: u64,
    /// The line so far has something in it.
    in_line: bool,
    /// A run of blanks that counts when something follows in the line.
    blank: bool,
    /// A CR that may belong to a line end.
    cr: bool,
    piece: Vec<u8>,
}

impl BodyHash {
    pub fn new(canon: Canon, limit: Option<u64>) -> Self {
        Self {
            canon,
            limit: limit.unwrap_or(u64::MAX),
            hash: Context::new(&SHA256),
            total: 0,
            empty_lines: 0,
            in_line: false,
            blank: false,
            cr: false,
            piece: Vec::new(),
        }
    }

    /// More body.
    pub fn push(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while let Some((first, after)) = rest.split_first() {
            if std::mem::take(&mut self.cr) {
                if *first == b'\n' {
                    self.line_end();
                    rest = after;
                    continue;
                }
                self.text(b"\r");
            }
            match first {
                b'\r' => {
                    self.cr = true;
                    rest = after;
                }
                b' ' | b'\t' if self.canon == Canon::Relaxed => {
                    self.blank = true;
                    rest = after;
                }
                _ => {
                    let relaxed = self.canon == Canon::Relaxed;
                    let special = |b: &u8| *b == b'\r' || relaxed && matches!(b, b' ' | b'\t');
                    let end = rest.iter().position(special).unwrap_or(rest.len());
                    let (text, more) = rest.split_at(end);
                    self.text(text);
                    rest = more;
                }
            }
        }
        self.flush();
    }

    fn text(&mut self, text: &[u8]) {
        if !std::mem::replace(&mut self.in_line, true) {
            while self.empty_lines > 0 {
                self.empty_lines -= 1;
                self.piece.extend_from_slice(b"\r\n");
                if self.piece.len() > 1 << 16 {
                    self.flush();
                }
            }
        }
        if std::mem::take(&mut self.blank) {
            self.piece.push(b' ');
        }
        self.piece.extend_from_slice(text);
    }

    fn line_end(&mut self) {
        self.blank = false;
        match std::mem::take(&mut self.in_line) {
            true => self.piece.extend_from_slice(b"\r\n"),
            false => self.empty_lines += 1,
        }
    }

    fn flush(&mut self) {
        let room = usize::try_from(self.limit.saturating_sub(self.total)).unwrap_or(usize::MAX);
        self.hash.update(self.piece.get(..room).unwrap_or(&self.piece));
        self.total += self.piece.len() as u64;
        self.piece.clear();
    }

    /// The hash, and the length of the whole canonical form.
    pub fn finish(mut self) -> (Vec<u8>, u64) {
        if std::mem::take(&mut self.cr) {
            self.text(b"\r");
        }
        if self.in_line {
            self.line_end();
        }
        if self.canon == Canon::Simple && self.total == 0 && self.piece.is_empty() {
            self.piece.extend_from_slice(b"\r\n");
        }
        self.flush();
        (self.hash.finish().as_ref().to_vec(), self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::digest;

    #[test]
    fn headers() {
        for (raw, want) in [
            ("A: X\r\n", "a:X\r\n"),
            ("B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"),
            ("C:\r\n", "c:\r\n"),
            ("D:\r\n  x\r\n", "d:x\r\n"),
        ] {
            let mut out = Vec::new();
            Canon::Relaxed.header(raw.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), want);
        }
    }

    #[test]
    fn bodies() {
        for (canon, body, want) in [
            // RFC 6376 3.4.5
            (Canon::Relaxed, " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
            (Canon::Simple, " C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n"),
            (Canon::Relaxed, "", ""),
            (Canon::Simple, "", "\r\n"),
            (Canon::Simple, "\r\n\r\n", "\r\n"),
            (Canon::Relaxed, " \r\n\r\n", ""),
            (Canon::Relaxed, "a\r\n \r\nb", "a\r\n\r\nb\r\n"),
            (Canon::Simple, "a\rb\r", "a\rb\r\r\n"),
        ] {
            for split in 0..=body.len() {
                let mut h = BodyHash::new(canon, None);
                let (one, two) = body.as_bytes().split_at(split);
                h.push(one);
                h.push(two);
                let (hash, len) = h.finish();
                assert_eq!(hash, digest(&SHA256, want.as_bytes()).as_ref(), "{canon:?} {body:?} {split}");
                assert_eq!(len, want.len() as u64);
            }
        }
        let mut h = BodyHash::new(Canon::Simple, Some(3));
        h.push(b"abcdef\r\n");
        assert_eq!(h.finish(), (digest(&SHA256, b"abc").as_ref().to_vec(), 8));
    }
}
