//! The lines that agents put before the content: `From ` line, Return-Path:, X-Original-To:, Delivered-To:; and the
//! look at earlier Delivered-To: lines by which local(8) and pipe(8) see a loop.

use base_calls::{Content, Timestamp};
use proto_address::external;
use std::collections::HashSet;

/// What stands before the content, in order. A field that is `None` is left out.
#[derive(Debug, Clone, Default)]
pub struct Prefix<'a> {
    /// The time of a `From ` line.
    pub from_line: Option<Timestamp>,
    /// `From ` line with the text of a null sender other than MAILER-DAEMON (pipe's `null_sender`), and Return-Path.
    pub null_sender: Option<&'a str>,
    /// Envelope sender (unquoted) when a Return-Path: is wanted.
    pub return_path: bool,
    /// Envelope sender.
    pub sender: &'a str,
    /// X-Original-To:, unquoted form.
    pub original_to: Option<&'a str>,
    /// Delivered-To:, unquoted form.
    pub delivered_to: Option<&'a str>,
}

impl Prefix<'_> {
    /// The lines, each with `eol`.
    pub fn lines(&self, eol: &[u8]) -> Vec<u8> {
        let sender = external(self.sender);
        let mut out = Vec::with_capacity(256);
        let mut line = |text: &str| {
            // An address never holds a line end; if one got here, it must not start a header of its own.
            out.extend(text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')));
            out.extend_from_slice(eol);
        };
        if let Some(time) = self.from_line {
            let who =
                if self.sender.is_empty() { self.null_sender.unwrap_or("MAILER-DAEMON") } else { &sender };
            line(&format!("From {who}  {}", ctime(time)));
        }
        if self.return_path {
            let path = if self.sender.is_empty() { self.null_sender.unwrap_or("") } else { &sender };
            line(&format!("Return-Path: <{path}>"));
        }
        if let Some(to) = self.original_to.filter(|t| !t.is_empty()) {
            line(&format!("X-Original-To: {}", external(to)));
        }
        if let Some(to) = self.delivered_to {
            line(&format!("Delivered-To: {}", external(to)));
        }
        out
    }
}

/// `Thu Jan  1 00:00:00 1970` in local time (ctime(3)).
pub fn ctime(time: Timestamp) -> String {
    let secs = i64::try_from(time.secs()).unwrap_or(0);
    let zoned = jiff::Timestamp::from_second(secs).unwrap_or_default().to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%a %b %e %H:%M:%S %Y").to_string()
}

/// At most so many Delivered-To: lines are remembered, and so many bytes of header are looked at.
const MAX_SEEN: usize = 1000;
const MAX_HEADER: u64 = 1 << 20;

/// The addresses of the Delivered-To: lines of a message, folded to lower case.
#[derive(Debug, Default)]
pub struct Delivered(HashSet<String>);

impl Delivered {
    /// Reads the header.
    pub fn scan(content: &Content) -> std::io::Result<Self> {
        let mut found = HashSet::new();
        let mut line: Vec<u8> = Vec::new();
        let mut at = 0;
        while at < MAX_HEADER && found.len() < MAX_SEEN {
            let chunk = content.chunk(at, 16 * 1024)?;
            if chunk.is_empty() {
                break;
            }
            at += chunk.len() as u64;
            for piece in chunk.split_inclusive(|&b| b == b'\n') {
                if line.len() < 2000 {
                    line.extend_from_slice(piece);
                }
                if !piece.ends_with(b"\n") {
                    continue;
                }
                if matches!(line.as_slice(), b"\r\n" | b"\n") {
                    return Ok(Self(found));
                }
                found.extend(delivered_to(&line));
                line.clear();
            }
        }
        Ok(Self(found))
    }

    /// Whether the message was delivered to this address (unquoted form) before.
    pub fn has(&self, address: &str) -> bool {
        self.0.contains(&fold(&external(address)))
    }
}

fn fold(text: &str) -> String {
    text.to_lowercase()
}

fn delivered_to(line: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"delivered-to:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    if !name.eq_ignore_ascii_case(NAME) {
        return None;
    }
    std::str::from_utf8(value).ok().map(|v| fold(v.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn lines_in_postfix_order() {
        let p = Prefix {
            return_path: true,
            sender: "a b@example.net",
            original_to: Some("x"),
            delivered_to: Some("y@example.com"),
            ..Prefix::default()
        };
        let text = String::from_utf8(p.lines(b"\n")).unwrap();
        assert_eq!(
            text,
            "Return-Path: <\"a b\"@example.net>\nX-Original-To: x\nDelivered-To: y@example.com\n"
        );
    }

    #[test]
    fn null_sender() {
        let p = Prefix { from_line: Some(Timestamp::from_secs(0)), return_path: true, ..Prefix::default() };
        let text = String::from_utf8(p.lines(b"\n")).unwrap();
        assert!(text.starts_with("From MAILER-DAEMON  ") && text.ends_with("\nReturn-Path: <>\n"), "{text}");
        let p = Prefix { null_sender: Some("MAILER-DAEMON"), return_path: true, ..Prefix::default() };
        assert_eq!(p.lines(b"\n"), b"Return-Path: <MAILER-DAEMON>\n");
    }

    #[test]
    fn ctime_has_its_width() {
        let text = ctime(Timestamp::from_secs(1_700_000_000));
        assert_eq!(text.len(), 24, "{text}");
        assert!(text.contains("Nov 14") && text.ends_with("2023"), "{text}");
    }

    #[test]
    fn delivered_to_lines_of_the_header_only() {
        let text =
            "Received: x\r\nDelivered-To: A@Example.com\r\nDELIVERED-TO:\tb@x\r\n\r\nDelivered-To: c@x\r\n";
        let seen = Delivered::scan(&Content::Memory(Bytes::from_static(text.as_bytes()))).unwrap();
        assert!(seen.has("a@example.COM") && seen.has("b@x"));
        assert!(!seen.has("c@x"));
    }
}
