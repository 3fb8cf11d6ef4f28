//! Splitting content into logical headers and body, in chunks of any size.
//!
//! The result does not depend on how the content is cut. The body is passed through in the chunks that come in; a
//! header that lies in one chunk is not copied. Memory is bounded by `header_size_limit` plus one piece.

use crate::Header;
use memchr::memchr;

/// Bounds of the header section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `header_size_limit`: once a header is this long, the rest of it is dropped.
    pub header_size: usize,
    /// `line_length_limit`: a line is looked at in pieces of this size; each is kept or dropped as a whole.
    pub line_length: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_size: 102_400, line_length: 2048 }
    }
}

/// What happens, in order: headers, the end of the header section, body.
pub trait Sink {
    /// A whole header.
    fn header(&mut self, header: Header<'_>);
    /// The header section ended. The body that follows starts with the empty line that separates it; when the
    /// content had none, `separator_missing` is set and the body starts with the line that is no header.
    fn end_of_headers(&mut self, separator_missing: bool);
    /// More body, separator included. Not called for a message that is all header.
    fn body(&mut self, chunk: &[u8]);
}

/// The splitter.
#[derive(Debug)]
pub struct HeaderStream {
    limits: Limits,
    /// The header that is not complete yet: whole lines, then the unfinished one.
    pending: Vec<u8>,
    /// Where its unfinished line starts.
    line: usize,
    /// How much of the unfinished line came in, dropped parts included.
    line_len: usize,
    /// The unfinished line could still turn out to be no part of a header.
    undecided: bool,
    in_body: bool,
}

/// What a line is, seen from the header before it.
enum LineKind {
    Continuation,
    Header,
    Separator,
    Other,
}

impl HeaderStream {
    /// At the start of a message.
    pub fn new(limits: Limits) -> Self {
        let limits =
            Limits { header_size: limits.header_size.max(1), line_length: limits.line_length.max(64) };
        Self { limits, pending: Vec::new(), line: 0, line_len: 0, undecided: true, in_body: false }
    }

    /// Takes more content.
    pub fn push(&mut self, chunk: &[u8], sink: &mut impl Sink) {
        let rest = self.push_headers(chunk, sink);
        if !rest.is_empty() {
            sink.body(rest);
        }
    }

    /// Takes more content up to the end of the header section; gives what follows the line that ended it, which the
    /// sink got as body.
    pub fn push_headers<'a>(&mut self, mut chunk: &'a [u8], sink: &mut impl Sink) -> &'a [u8] {
        while !chunk.is_empty() && !self.in_body {
            if self.pending.is_empty() && self.line_len == 0 {
                chunk = self.direct(chunk, sink);
                if self.in_body {
                    continue;
                }
            }
            chunk = self.buffered(chunk, sink);
        }
        chunk
    }

    /// The end of the message: an unfinished line is completed.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        if self.in_body {
            return;
        }
        if self.line_len > 0 {
            let rest: &[u8] = if self.pending.ends_with(b"\r") { b"\n" } else { b"\r\n" };
            self.push(rest, sink);
        }
        if !self.in_body {
            self.emit(self.pending.len(), sink);
            self.in_body = true;
            sink.end_of_headers(false);
        }
    }

    /// Headers that lie in `chunk` whole, followed by the start of another line. Returns what is left.
    fn direct<'a>(&mut self, mut chunk: &'a [u8], sink: &mut impl Sink) -> &'a [u8] {
        loop {
            let Some(end) = self.whole_header(chunk) else { return chunk };
            let (raw, rest) = chunk.split_at(end);
            let Some(header) = Header::parse(raw) else { return chunk };
            sink.header(header);
            chunk = rest;
        }
    }

    /// The length of the header at the start of `chunk` when it is whole, usual, and short.
    fn whole_header(&self, chunk: &[u8]) -> Option<usize> {
        let mut end = 0;
        loop {
            let len = memchr(b'\n', chunk.get(end..)?)? + 1;
            if len > self.limits.line_length {
                return None;
            }
            end += len;
            if end >= self.limits.header_size {
                return None;
            }
            match chunk.get(end)? {
                b' ' | b'\t' => {}
                _ => return Some(end),
            }
        }
    }

    /// Adds to the pending header until it is complete or `chunk` is used up. Returns what is left.
    fn buffered<'a>(&mut self, chunk: &'a [u8], sink: &mut impl Sink) -> &'a [u8] {
        let piece = self.limits.line_length - self.line_len % self.limits.line_length;
        let window = chunk.get(..piece.min(chunk.len())).unwrap_or(chunk);
        let (take, whole) = match memchr(b'\n', window) {
            Some(at) => (at + 1, true),
            None => (window.len(), false),
        };
        let (part, rest) = chunk.split_at(take);
        // A piece is kept when the header was below its limit where the piece starts.
        let piece_start = self.line_len - self.line_len % self.limits.line_length;
        let kept_before = self.line + piece_start.min(self.pending.len() - self.line);
        if self.undecided || kept_before < self.limits.header_size {
            self.pending.extend_from_slice(part);
        }
        self.line_len += take;
        if self.undecided && (whole || self.line_len >= self.limits.line_length) {
            self.decide(sink);
        }
        if whole && !self.in_body {
            self.end_line();
        }
        rest
    }

    fn end_line(&mut self) {
        if !self.pending.is_empty() && !self.pending.ends_with(b"\n") {
            self.pending.extend_from_slice(b"\r\n");
        }
        self.line = self.pending.len();
        self.line_len = 0;
        self.undecided = true;
    }

    /// The first piece of a line is there: does it go on with the pending header, start another, or end them?
    fn decide(&mut self, sink: &mut impl Sink) {
        self.undecided = false;
        let line = self.pending.get(self.line..).unwrap_or_default();
        match kind(line, self.line > 0) {
            LineKind::Continuation => {
                if self.line >= self.limits.header_size {
                    self.pending.truncate(self.line);
                }
            }
            LineKind::Header => self.emit(self.line, sink),
            LineKind::Separator => self.enter_body(false, sink),
            LineKind::Other => self.enter_body(true, sink),
        }
    }

    fn enter_body(&mut self, separator_missing: bool, sink: &mut impl Sink) {
        self.emit(self.line, sink);
        self.in_body = true;
        sink.end_of_headers(separator_missing);
        let start = std::mem::take(&mut self.pending);
        sink.body(&start);
    }

    /// Hands the pending header over, which is the first `len` bytes.
    fn emit(&mut self, len: usize, sink: &mut impl Sink) {
        if let Some(header) = self.pending.get(..len).and_then(Header::parse) {
            sink.header(header);
        }
        self.pending.drain(..len);
        self.line = 0;
    }
}

fn kind(line: &[u8], after_header: bool) -> LineKind {
    match line {
        [b' ' | b'\t', ..] if after_header => LineKind::Continuation,
        b"\r\n" | b"\n" => LineKind::Separator,
        _ if Header::parse(line).is_some() => LineKind::Header,
        _ => LineKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::Events;

    fn events(content: &str) -> String {
        Events::of(Limits::default(), [content.as_bytes()]).to_string()
    }

    #[test]
    fn sections() {
        let table = [
            ("", "E"),
            ("A: b\r\n", "H[A: b]E"),
            ("A: b", "H[A: b]E"),
            ("A: b\r\n\r\n", "H[A: b]E B[|]"),
            ("A: b\r\n c\r\n\td\r\nE:f\r\n\r\nbody\r\n", "H[A: b| c|\td]H[E:f]E B[|body|]"),
            ("body\r\n", "E! B[body|]"),
            ("A: b\r\nX Y: z\r\n", "H[A: b]E! B[X Y: z|]"),
            (" a\r\nX: y\r\n", "E! B[ a|X: y|]"),
            ("\r\nX: y\r\n", "E B[|X: y|]"),
            (":x\r\n", "E! B[:x|]"),
            ("X: y\r\n \r\nZ: z\r\n", "H[X: y| ]H[Z: z]E"),
            ("X : y\r\n\r\n", "H[X : y]E B[|]"),
        ];
        for (content, want) in table {
            assert_eq!(events(content), want, "{content:?}");
        }
    }

    #[test]
    fn long_headers_lose_their_end() {
        let limits = Limits { header_size: 10, line_length: 64 };
        let content = "A: 23456789012345\r\n b\r\nB: c\r\n d\r\n e\r\n f\r\n\r\nx\r\n";
        let got = Events::of(limits, [content.as_bytes()]).to_string();
        assert_eq!(got, "H[A: 23456789012345]H[B: c| d]E B[|x|]");
        let long = format!("A: {}\r\nB: c\r\n", "x".repeat(1000));
        let got = Events::of(limits, [long.as_bytes()]).to_string();
        assert_eq!(got, format!("H[A: {}]H[B: c]E", "x".repeat(61)));
    }
}
