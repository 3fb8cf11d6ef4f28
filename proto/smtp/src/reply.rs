//! Replies: the server builds and prints them, the client takes them apart.
//!
//! A [`Reply`] is a code, an optional enhanced status code (RFC 2034: repeated on every line) and at least one line of
//! text. [`ReplyParser`] accepts what servers really send: bare LF, missing text, `250` alone, differing codes within a
//! reply (the last one counts), and bounds everything. Printing never emits CR, LF or NUL inside a line.

use proto_dsn::Status;
use std::{fmt::Write as _, io::Write as _};

/// One server reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// `250`.
    pub code: u16,
    /// `2.1.0`; printed on every line.
    pub status: Option<Status>,
    /// Text without code and status; at least one, possibly empty.
    pub lines: Vec<String>,
}

impl Reply {
    /// A one-line reply with an enhanced status code.
    pub fn new(code: u16, status: Status, text: impl Into<String>) -> Self {
        Self { code, status: Some(status), lines: vec![text.into()] }
    }

    /// A one-line reply without an enhanced status code (greeting, HELO, 354).
    pub fn plain(code: u16, text: impl Into<String>) -> Self {
        Self { code, status: None, lines: vec![text.into()] }
    }

    /// 1 to 5.
    pub fn class(&self) -> u16 {
        self.code / 100
    }

    /// 2xx or 3xx.
    pub fn is_ok(&self) -> bool {
        matches!(self.class(), 2 | 3)
    }

    /// 4xx.
    pub fn is_temporary(&self) -> bool {
        self.class() == 4
    }

    /// 5xx.
    pub fn is_permanent(&self) -> bool {
        self.class() == 5
    }

    /// All text on one line, as logs and notices show it: `250 2.0.0 Ok: queued as X`; lines are joined by a blank.
    pub fn one_line(&self) -> String {
        let mut out = self.code.to_string();
        if let Some(s) = self.status {
            let _ = write!(out, " {s}");
        }
        for l in &self.lines {
            if !l.is_empty() {
                out.push(' ');
                out.push_str(l);
            }
        }
        out
    }

    /// Text after the code on one line (status included).
    pub fn text(&self) -> String {
        self.one_line().split_off(3).trim_start().to_owned()
    }

    /// Appends the wire form.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        // Code, status, separators and line end of each line: usually under 16 bytes.
        out.reserve(self.lines.iter().map(|l| l.len() + 16).sum());
        for (i, line) in self.lines.iter().enumerate() {
            self.write_line(line, i == last, out);
        }
        if self.lines.is_empty() {
            self.write_line("", true, out);
        }
    }

    fn write_line(&self, line: &str, last: bool, out: &mut Vec<u8>) {
        // Writing to memory does not fail.
        let _ = write!(out, "{:03}{}", self.code, if last { ' ' } else { '-' });
        if let Some(s) = self.status {
            let _ = write!(out, "{s}");
            if !line.is_empty() {
                out.push(b' ');
            }
        }
        out.extend(line.bytes().map(|b| if matches!(b, b'\r' | b'\n' | 0) { b' ' } else { b }));
        out.extend_from_slice(b"\r\n");
    }
}

/// The peer does not speak SMTP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line that does not start with three digits and a blank, `-`, or its end.
    #[error("malformed reply line")]
    Malformed(Vec<u8>),
    /// More text than [`ReplyParser::MAX_BYTES`].
    #[error("reply too long")]
    TooLong,
}

/// Collects reply lines into a [`Reply`].
#[derive(Debug, Default)]
pub struct ReplyParser {
    lines: Vec<String>,
    status: Option<Status>,
    bytes: usize,
}

impl ReplyParser {
    /// The most text that one reply may have; lines beyond are an error.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// A parser at the start of a reply.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one line, with or without its line end. `Some` when the reply is complete; the parser is then at the
    /// start of the next reply. Bytes that are not UTF-8 become U+FFFD.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let line = trim_line_end(line);
        self.bytes = self.bytes.saturating_add(line.len() + 1);
        if self.bytes > Self::MAX_BYTES {
            return Err(ReplyError::TooLong);
        }
        let (code, more, text) = split_line(line).ok_or_else(|| ReplyError::Malformed(line.to_vec()))?;
        let text = String::from_utf8_lossy(text).into_owned();
        let (status, text) = match Status::split_prefix(&text) {
            Some((s, rest)) if u16::from(s.class()) == code / 100 => (Some(s), rest.to_owned()),
            _ => (None, text),
        };
        self.status = status.or(self.status);
        self.lines.push(text);
        if more {
            return Ok(None);
        }
        let done = std::mem::take(self);
        Ok(Some(Reply { code, status: done.status, lines: done.lines }))
    }
}

/// Without trailing CR and LF.
pub fn trim_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let end = line.iter().rposition(|&b| b != b'\r').map_or(0, |i| i + 1);
    line.get(..end).unwrap_or_default()
}

/// Code, whether more lines follow, text.
fn split_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code =
        std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    if !(200..=599).contains(&code) {
        return None;
    }
    match rest.split_first() {
        None => Some((code, false, rest)),
        Some((b'-', text)) => Some((code, true, text)),
        Some((b' ' | b'\t', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Reply>, ReplyError> {
        let mut p = ReplyParser::new();
        let mut last = Ok(None);
        for l in text.split_inclusive('\n') {
            last = p.line(l.as_bytes());
        }
        last
    }

    #[test]
    fn print_and_parse_back() {
        let replies = [
            Reply::plain(220, "host ESMTP"),
            Reply::new(250, Status::new(2, 1, 0), "Ok"),
            Reply { code: 250, status: None, lines: vec!["host".into(), "SIZE 10".into(), "DSN".into()] },
            Reply { code: 550, status: Some(Status::new(5, 1, 1)), lines: vec!["a".into(), "b c".into()] },
        ];
        for r in replies {
            let mut wire = Vec::new();
            r.write_to(&mut wire);
            assert_eq!(parse(std::str::from_utf8(&wire).unwrap()), Ok(Some(r)));
        }
    }

    #[test]
    fn line_breaks_in_text_do_not_reach_the_wire() {
        let mut wire = Vec::new();
        Reply::plain(250, "a\r\n250 b\0").write_to(&mut wire);
        assert_eq!(wire, b"250 a  250 b \r\n");
    }

    #[test]
    fn tolerance() {
        for (text, code, lines) in [
            ("250\r\n", 250, &[""] as &[&str]),
            ("250-a\n250 b\n", 250, &["a", "b"]),
            ("250-a\r\n550 b\r\n", 550, &["a", "b"]),
            ("250 2.1.0 x\r\r\n", 250, &["x"]),
            ("550 4.1.1 x\r\n", 550, &["4.1.1 x"]),
        ] {
            let r = parse(text).unwrap().unwrap();
            assert_eq!(
                (r.code, r.lines.iter().map(String::as_str).collect::<Vec<_>>()),
                (code, lines.to_vec())
            );
        }
        for bad in ["", "25\r\n", "2500 x\r\n", "abc\r\n", "999 x\r\n", "100 x\r\n", "25\u{e9}\r\n"] {
            assert!(!matches!(parse(bad), Ok(Some(_))), "{bad}");
        }
    }

    #[test]
    fn bounded() {
        let mut p = ReplyParser::new();
        let line = [b"250-".as_slice(), &[b'x'; 1000]].concat();
        let errors = (0..100).filter(|_| p.line(&line) == Err(ReplyError::TooLong)).count();
        assert!(errors > 0);
    }
}
