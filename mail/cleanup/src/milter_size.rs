//! The size of a message that milters have seen, as Postfix counts it (`size=` in the log, the queue listing, `SIZE=`).
//!
//! Its queue file has room for changes: a pointer of 17 bytes behind the header section and one behind the body, and short headers are
//! filled up. Changes to the header section do not count, a new body does. All seen by experiment with Postfix 3.7.11.

use crate::size::RecordSize;
use base_calls::Content;
use proto_message::{Header, HeaderStream, Limits, Sink};
use std::io;

/// Bytes of a pointer record.
const POINTER: u64 = 17;
/// Headers shorter than this are filled up, by at least [`LEAST`].
const SHORT: u64 = 15;
const LEAST: u64 = 3;

/// The counts.
pub(crate) struct MilterSize {
    whole: u64,
    header: RecordSize,
    padding: u64,
    body: Option<RecordSize>,
    line_length_limit: usize,
}

struct Scan<'a> {
    size: &'a mut MilterSize,
    ended: bool,
}

impl Sink for Scan<'_> {
    fn header(&mut self, header: Header<'_>) {
        let raw = header.raw();
        let first = memchr::memchr(b'\r', raw).unwrap_or(raw.len()) as u64;
        if first < SHORT {
            self.size.padding += (SHORT - first).max(LEAST);
        }
        self.size.header.push(raw);
    }

    fn end_of_headers(&mut self, _: bool) {
        self.ended = true;
    }

    fn body(&mut self, _: &[u8]) {}
}

impl MilterSize {
    /// Of a message as it was before its milters; `whole` is its size without any.
    pub fn of(content: &Content, whole: u64, line_length_limit: usize) -> io::Result<Self> {
        let header = RecordSize::new(line_length_limit);
        let mut size = Self { whole, header, padding: 0, body: None, line_length_limit };
        let mut stream = HeaderStream::new(Limits { header_size: 1 << 20, ..Limits::default() });
        let mut scan = Scan { size: &mut size, ended: false };
        let mut at = 0;
        while !scan.ended {
            let chunk = content.chunk(at, 64 << 10)?;
            if chunk.is_empty() {
                stream.finish(&mut scan);
                break;
            }
            at += chunk.len() as u64;
            stream.push_headers(&chunk, &mut scan);
        }
        Ok(size)
    }

    /// A piece of a new body; `first`: what was the body before does not count.
    pub fn body(&mut self, piece: &[u8], first: bool) {
        if first {
            self.body = None;
        }
        let limit = self.line_length_limit;
        self.body.get_or_insert_with(|| RecordSize::new(limit)).push(piece);
    }

    /// The size.
    pub fn total(&self) -> u64 {
        match &self.body {
            None => self.whole + self.padding + 2 * POINTER,
            Some(body) => self.header.total() + 2 + self.padding + POINTER + body.total(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding() {
        for (header, more) in [
            ("X: yy", 44),
            ("X: yyyyyyyyy", 37),
            ("X: yyyyyyyyyyy", 37),
            ("X: yyyyyyyyyyyy", 34),
            ("X: y\r\n\tzz", 45),
        ] {
            let text = format!("{header}\r\n\r\nx\r\n");
            let size = MilterSize::of(&Content::Memory(text.into()), 100, 2048).unwrap();
            assert_eq!(size.total(), 100 + more, "{header}");
        }
        let mut size =
            MilterSize::of(&Content::Memory("Subject: a long one\r\n\r\nx\r\n".into()), 26, 2048).unwrap();
        assert_eq!(size.total(), 60);
        size.body(b"new\r\n", true);
        assert_eq!(size.total(), 21 + 2 + 17 + 5);
    }
}
