//! The state machine: header sections and bodies of all parts, in chunks of any size.
//!
//! A header section ends at the first line that is no header. What follows depends on the section's Content-Type: parts
//! between boundary lines, the headers of an attached message, or text. A boundary is known by its beginning, innermost
//! first; text behind the last one is text. Memory: one header, one line piece, and the boundaries of
//! `mime_nesting_limit` levels.

use super::{ContentType, Encoding, Kind, Quoted, Section};
use crate::{Header, HeaderStream, Id, Limits, Sink};
use memchr::memchr;

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MimeError {
    /// `mime_nesting_limit`
    Nesting,
    /// `strict_7bit_headers`
    EightBitHeader,
    /// `strict_8bitmime_body`
    EightBitBody,
    /// `strict_mime_encoding_domain`
    EncodingDomain,
}

impl MimeError {
    /// What the client and the log are told.
    pub fn text(self) -> &'static str {
        match self {
            Self::Nesting => "MIME nesting exceeds safety limit",
            Self::EightBitHeader => "improper use of 8-bit data in message header",
            Self::EightBitBody => "improper use of 8-bit data in message body",
            Self::EncodingDomain => "invalid message/* or multipart/* encoding domain",
        }
    }
}

/// How body text is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pieces {
    /// As it comes.
    Any,
    /// By lines, and pieces of lines longer than `line_length_limit`; each with the CRLF that ends it.
    Lines,
}

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct MimeOptions {
    /// Of headers and lines.
    pub limits: Limits,
    /// False: everything behind the first header section is text (`disable_mime_input_processing`).
    pub structure: bool,
    /// 8bit parts become quoted-printable.
    pub convert: bool,
    /// `mime_nesting_limit`: what is deeper is text.
    pub nesting: usize,
    /// And it is an error.
    pub report_nesting: bool,
    /// `mime_boundary_length_limit`
    pub boundary: usize,
    /// Body text by lines?
    pub pieces: Pieces,
    /// `strict_7bit_headers`
    pub strict_headers: bool,
    /// `strict_8bitmime_body`
    pub strict_body: bool,
    /// `strict_mime_encoding_domain`
    pub strict_domain: bool,
}

/// What happens, in order.
pub trait MimeSink {
    /// A whole header.
    fn header(&mut self, section: Section, header: Header<'_>);
    /// The first header section ended; `separator_missing`: the body starts with a line that is no header.
    fn end_of_headers(&mut self, separator_missing: bool);
    /// Text (separators and boundary lines are text). `offset`: bytes of this body before it, a line end counting one.
    fn body(&mut self, text: &[u8], offset: u64);
    /// Something is wrong; `text` is the header, line or word.
    fn error(&mut self, error: MimeError, text: &[u8]);
}

/// Levels beyond the limit that Postfix lets pass.
const SPARE_LEVELS: usize = 2;

/// What the headers of the current section said.
#[derive(Debug, Default)]
struct Part {
    kind: Kind,
    encoding: Encoding,
    /// The word that named the encoding.
    word: Vec<u8>,
}

#[derive(Debug)]
struct Frame {
    boundary: Vec<u8>,
    digest: bool,
}

/// The machine.
#[derive(Debug)]
pub struct MimeStream {
    options: MimeOptions,
    section: Section,
    /// Present in a header section.
    headers: Option<HeaderStream>,
    part: Part,
    stack: Vec<Frame>,
    /// The start of a body line that is not complete.
    line: Vec<u8>,
    /// The rest of the current line is no boundary.
    inside_line: bool,
    offset: u64,
    /// Present while a body is converted.
    quoted: Option<Quoted>,
    eight_bit: bool,
    converted: bool,
}

impl MimeStream {
    /// At the start of a message.
    pub fn new(options: MimeOptions) -> Self {
        Self {
            options,
            section: Section::Primary,
            headers: Some(HeaderStream::new(options.limits)),
            part: Part::default(),
            stack: Vec::new(),
            line: Vec::new(),
            inside_line: false,
            offset: 0,
            quoted: None,
            eight_bit: false,
            converted: false,
        }
    }

    /// Whether a header announced 8bit content so far (`detect_8bit_encoding_header`).
    pub fn eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Whether something was converted so far.
    pub fn converted(&self) -> bool {
        self.converted
    }

    /// Whether all that follows is text that passes as it comes: nothing looks for the end of it.
    pub fn passes(&self) -> bool {
        self.headers.is_none() && self.stack.is_empty() && !self.by_lines()
    }

    /// From here on body text is handed over like this.
    pub fn set_pieces(&mut self, pieces: Pieces) {
        self.options.pieces = pieces;
    }

    /// Takes more content in wire form.
    pub fn push(&mut self, mut chunk: &[u8], sink: &mut impl MimeSink) {
        while !chunk.is_empty() {
            chunk = match self.headers.take() {
                Some(headers) => self.header_text(headers, chunk, sink),
                None => self.body_text(chunk, sink),
            };
        }
    }

    /// The end of the message.
    pub fn finish(&mut self, sink: &mut impl MimeSink) {
        if let Some(headers) = self.headers.take() {
            let nothing_left = !self.end_header_text(headers, sink);
            if !nothing_left {
                return self.finish(sink);
            }
        }
        let line = std::mem::take(&mut self.line);
        for piece in line.chunks(self.options.limits.line_length.max(1)) {
            self.whole_line(piece, sink);
        }
    }

    /// Header text; gives what belongs to the body.
    fn header_text<'a>(
        &mut self,
        mut headers: HeaderStream,
        chunk: &'a [u8],
        sink: &mut impl MimeSink,
    ) -> &'a [u8] {
        let mut seen = self.seen(sink);
        let rest = headers.push_headers(chunk, &mut seen);
        let (ended, start, eight_bit) = seen.into_parts();
        self.eight_bit |= eight_bit;
        match ended {
            Some(missing) => self.start_body(missing, &start, sink),
            None => self.headers = Some(headers),
        }
        rest
    }

    /// The message ends in a header section; gives whether there is body text after all, in another section.
    fn end_header_text(&mut self, mut headers: HeaderStream, sink: &mut impl MimeSink) -> bool {
        let mut seen = self.seen(sink);
        headers.finish(&mut seen);
        let (ended, start, eight_bit) = seen.into_parts();
        self.eight_bit |= eight_bit;
        self.start_body(ended.unwrap_or_default(), &start, sink);
        !start.is_empty()
    }

    fn seen<'a, S>(&'a mut self, sink: &'a mut S) -> Seen<'a, S> {
        let (section, depth) = (self.section, self.stack.len());
        let part = &mut self.part;
        Seen {
            part,
            options: &self.options,
            section,
            depth,
            eight_bit: false,
            ended: None,
            body: Vec::new(),
            sink,
        }
    }

    /// A header section has ended; `start` is the line that ended it.
    fn start_body(&mut self, separator_missing: bool, start: &[u8], sink: &mut impl MimeSink) {
        self.end_section(separator_missing, sink);
        if separator_missing {
            self.push(start, sink);
        } else if !start.is_empty() {
            // The separator is text, whatever follows it.
            sink.body(start, 0);
            self.offset = 1;
        }
    }

    /// The section's headers are known: what follows?
    fn end_section(&mut self, separator_missing: bool, sink: &mut impl MimeSink) {
        let part = std::mem::take(&mut self.part);
        if self.options.structure {
            self.check_domain(&part, sink);
        }
        if self.options.convert && part.encoding == Encoding::EightBit {
            self.converted = true;
            let word: &[u8] = match part.kind {
                Kind::Plain => b"Content-Transfer-Encoding: quoted-printable\r\n",
                _ => b"Content-Transfer-Encoding: 7bit\r\n",
            };
            if let Some(header) = Header::parse(word) {
                sink.header(self.section, header);
            }
        }
        if self.section == Section::Primary {
            sink.end_of_headers(separator_missing);
        }
        self.offset = 0;
        let converts = self.options.convert && part.encoding == Encoding::EightBit;
        self.quoted = None;
        match part.kind {
            Kind::Multipart { boundary, digest } if self.options.structure => {
                self.stack.push(Frame { boundary, digest });
                self.part.encoding = Encoding::SevenBit;
            }
            Kind::Message if self.options.structure => self.start_section(Section::Nested, Kind::Plain),
            _ => {
                self.quoted = converts.then(Quoted::default);
                self.part.encoding = part.encoding;
            }
        }
    }

    fn start_section(&mut self, section: Section, kind: Kind) {
        self.section = section;
        self.part = Part { kind, ..Part::default() };
        self.quoted = None;
        self.headers = Some(HeaderStream::new(self.options.limits));
    }

    fn check_domain(&self, part: &Part, sink: &mut impl MimeSink) {
        let bad = match (&part.kind, part.encoding) {
            (Kind::Plain, _) | (_, Encoding::SevenBit) => false,
            (Kind::SevenBitMessage, _) | (_, Encoding::Encoded) => true,
            (_, Encoding::EightBit) => false,
        };
        if bad && self.options.strict_domain {
            sink.error(MimeError::EncodingDomain, &part.word);
        }
    }

    /// Body text; gives what was not used up when a header section starts.
    fn body_text<'a>(&mut self, chunk: &'a [u8], sink: &mut impl MimeSink) -> &'a [u8] {
        if self.by_lines() {
            return self.lines(chunk, sink);
        }
        if self.stack.is_empty() {
            self.count(chunk);
            sink.body(chunk, self.offset);
            return &[];
        }
        self.bulk(chunk, sink)
    }

    fn by_lines(&self) -> bool {
        let strict = self.options.strict_body && self.part.encoding == Encoding::SevenBit;
        self.options.pieces == Pieces::Lines || self.quoted.is_some() || strict || !self.line.is_empty()
    }

    /// Offsets count only where lines are looked at.
    fn count(&mut self, text: &[u8]) {
        self.inside_line = !text.ends_with(b"\n");
    }

    /// Line by line.
    fn lines<'a>(&mut self, chunk: &'a [u8], sink: &mut impl MimeSink) -> &'a [u8] {
        let limit = self.options.limits.line_length.max(1);
        if self.line.is_empty() {
            let Some(len) = piece_len(chunk, limit) else {
                self.line.extend_from_slice(chunk);
                return &[];
            };
            let (piece, rest) = chunk.split_at_checked(len).unwrap_or((chunk, &[]));
            self.whole_line(piece, sink);
            return rest;
        }
        let window = chunk.get(..(limit + 2).saturating_sub(self.line.len())).unwrap_or(chunk);
        let take = memchr(b'\n', window).map_or(window.len(), |at| at + 1);
        let (more, rest) = chunk.split_at_checked(take).unwrap_or((chunk, &[]));
        self.line.extend_from_slice(more);
        self.buffered_pieces(limit, sink);
        rest
    }

    /// The complete pieces that are buffered.
    fn buffered_pieces(&mut self, limit: usize, sink: &mut impl MimeSink) {
        while let Some(len) = piece_len(&self.line, limit) {
            let left = self.line.split_off(len.min(self.line.len()));
            let piece = std::mem::replace(&mut self.line, left);
            self.whole_line(&piece, sink);
            if self.headers.is_some() {
                let left = std::mem::take(&mut self.line);
                return self.push(&left, sink);
            }
        }
    }

    /// Only boundary lines are looked at; everything between them passes as it is.
    fn bulk<'a>(&mut self, chunk: &'a [u8], sink: &mut impl MimeSink) -> &'a [u8] {
        let mut at = 0;
        loop {
            let rest = chunk.get(at..).unwrap_or_default();
            let end = memchr(b'\n', rest);
            let line = rest.get(..end.map_or(rest.len(), |n| n + 1)).unwrap_or_default();
            let candidate = !self.inside_line && (line.starts_with(b"--") || end.is_none() && line.len() < 2);
            if candidate && !(end.is_some() && self.boundary(line).is_none()) {
                let (before, after) = chunk.split_at(at);
                if !before.is_empty() {
                    sink.body(before, self.offset);
                }
                // By lines until it is known.
                return if line.is_empty() { &[] } else { self.lines(after, sink) };
            }
            self.inside_line = end.is_none();
            if end.is_none() {
                sink.body(chunk, self.offset);
                return &[];
            }
            at += line.len();
        }
    }

    /// A line, or a piece of a long one.
    fn whole_line(&mut self, line: &[u8], sink: &mut impl MimeSink) {
        let first = !self.inside_line;
        self.inside_line = !line.ends_with(b"\n");
        if let Some((level, last)) = self.boundary(line).filter(|_| first) {
            return self.boundary_line(line, level, last, sink);
        }
        if self.options.strict_body
            && self.options.structure
            && self.part.encoding == Encoding::SevenBit
            && !line.is_ascii()
        {
            sink.error(MimeError::EightBitBody, without_end(line));
        }
        match self.quoted.take() {
            Some(mut quoted) => {
                let mut out = Vec::with_capacity(line.len() * 2);
                quoted.push(without_end(line), &mut out);
                if line.ends_with(b"\n") {
                    quoted.end_line(&mut out);
                }
                self.quoted = Some(quoted);
                out.split_inclusive(|b| *b == b'\n').for_each(|line| self.text(line, sink));
            }
            None => self.text(line, sink),
        }
    }

    fn text(&mut self, line: &[u8], sink: &mut impl MimeSink) {
        sink.body(line, self.offset);
        self.offset += without_end(line).len() as u64 + 1;
    }

    /// The level of the boundary that the line starts with, and whether it is the last of it.
    fn boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let rest = line.strip_prefix(b"--")?;
        let level = self.stack.iter().rposition(|frame| rest.starts_with(&frame.boundary))?;
        let behind = rest.get(self.stack.get(level)?.boundary.len()..)?;
        Some((level, behind.starts_with(b"--")))
    }

    fn boundary_line(&mut self, line: &[u8], level: usize, last: bool, sink: &mut impl MimeSink) {
        self.quoted = None;
        self.part = Part::default();
        if last {
            self.stack.truncate(level);
            self.offset = 0;
            return self.text(line, sink);
        }
        self.text(line, sink);
        self.stack.truncate(level + 1);
        let digest = self.stack.last().is_some_and(|frame| frame.digest);
        self.start_section(Section::Part, if digest { Kind::Message } else { Kind::Plain });
    }
}

/// The length of the piece at the start of `text`: a line with its end, or as much of a longer one as the limit allows.
/// `None` until it is known.
fn piece_len(text: &[u8], limit: usize) -> Option<usize> {
    let window = text.get(..limit + 2).unwrap_or(text);
    if let Some(at) = memchr(b'\n', window) {
        let line = window.get(..=at).unwrap_or(window);
        return Some(if without_end(line).len() <= limit { at + 1 } else { limit });
    }
    let more = text.get(limit).is_some_and(|byte| *byte != b'\r');
    (window.len() == limit + 2 || more).then_some(limit)
}

/// Without the line end.
fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(line)
}

/// Between the splitter and the sink: reads what is of interest in the headers.
struct Seen<'a, S> {
    part: &'a mut Part,
    options: &'a MimeOptions,
    section: Section,
    /// Levels around it.
    depth: usize,
    eight_bit: bool,
    ended: Option<bool>,
    body: Vec<u8>,
    sink: &'a mut S,
}

impl<S> Seen<'_, S> {
    fn into_parts(self) -> (Option<bool>, Vec<u8>, bool) {
        (self.ended, self.body, self.eight_bit)
    }
}

impl<S: MimeSink> Seen<'_, S> {
    /// False when the header is left out.
    fn read(&mut self, header: Header<'_>) -> bool {
        match header.known().map(|known| known.id) {
            Some(Id::ContentType) => {
                self.part.kind = ContentType::parse(header.value(), self.options.boundary).kind;
                let deep = self.depth >= self.options.nesting.saturating_add(SPARE_LEVELS);
                if deep && self.options.structure && matches!(self.part.kind, Kind::Multipart { .. }) {
                    if self.options.report_nesting {
                        self.sink.error(MimeError::Nesting, without_end(header.raw()));
                    }
                    self.part.kind = Kind::Plain;
                }
            }
            Some(Id::ContentTransferEncoding) => {
                (self.part.encoding, self.part.word) = Encoding::parse(header.value());
                self.eight_bit |= self.options.structure && self.part.encoding == Encoding::EightBit;
                return !(self.options.convert && self.part.encoding == Encoding::EightBit);
            }
            _ => {}
        }
        true
    }
}

impl<S: MimeSink> Sink for Seen<'_, S> {
    fn header(&mut self, header: Header<'_>) {
        if self.options.strict_headers && self.options.structure && !header.raw().is_ascii() {
            self.sink.error(MimeError::EightBitHeader, without_end(header.raw()));
        }
        if self.read(header) {
            self.sink.header(self.section, header);
        }
    }

    fn end_of_headers(&mut self, separator_missing: bool) {
        self.ended = Some(separator_missing);
    }

    fn body(&mut self, chunk: &[u8]) {
        self.body.extend_from_slice(chunk);
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
