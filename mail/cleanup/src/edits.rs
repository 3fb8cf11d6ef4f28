//! Changes to a finished message, as milters ask for them: header fields at exact positions, another body.
//!
//! The content stays where it is, in the draft; this keeps a list of where each header field is, and pieces of a new body are stored
//! behind the content. Of a header section with more fields than milters are told of, the rest hangs on the last of them.
//! [`Edited::write`] puts the message together anew. Positions are counted as Postfix counts them: for insertions
//! over all header fields from 0; for changes over those of the name from 1, without the Received: of this server.

use crate::output::Output;
use base_calls::{Content, SubmitError};
use proto_message::{Header, HeaderStream, Limits, Sink};
use std::io;

/// Bytes copied at a time.
const CHUNK: usize = 64 << 10;
/// The most fields that are told apart: as many as milters hear of.
const MAX_FIELDS: usize = 100_000;

/// A header field.
#[derive(Debug)]
pub(crate) struct Field {
    name: Vec<u8>,
    text: Text,
    /// The first Received: field, which milters do not know of.
    own: bool,
}

#[derive(Debug)]
enum Text {
    /// Bytes of the content as it was: start and length.
    Kept(u64, u64),
    /// New text with its CRLF.
    New(Vec<u8>),
}

/// A message with changes that are not written yet.
pub(crate) struct Edited {
    fields: Vec<Field>,
    /// Ranges of the draft: start and end.
    body: Vec<(u64, u64)>,
    separator: bool,
    body_replaced: bool,
}

#[derive(Default)]
struct Scan {
    fields: Vec<Field>,
    at: u64,
    received: bool,
    ended: Option<bool>,
}

impl Sink for Scan {
    fn header(&mut self, header: Header<'_>) {
        let len = header.raw().len() as u64;
        if self.fields.len() >= MAX_FIELDS
            && let Some(Field { text: Text::Kept(_, last), .. }) = self.fields.last_mut()
        {
            *last += len;
            self.at += len;
            return;
        }
        let received = header.name().eq_ignore_ascii_case(b"received");
        let own = received && !self.received;
        self.received |= received;
        self.fields.push(Field { name: header.name().to_vec(), text: Text::Kept(self.at, len), own });
        self.at += len;
    }

    fn end_of_headers(&mut self, separator_missing: bool) {
        self.ended = Some(separator_missing);
    }

    fn body(&mut self, _: &[u8]) {}
}

impl Edited {
    /// Looks at the content as it is.
    pub fn scan(content: &Content) -> io::Result<Self> {
        let mut scan = Scan::default();
        let mut stream = HeaderStream::new(Limits { header_size: 1 << 20, ..Limits::default() });
        let mut at = 0;
        while scan.ended.is_none() {
            let chunk = content.chunk(at, CHUNK)?;
            if chunk.is_empty() {
                // All header: there is no separator.
                stream.finish(&mut scan);
                scan.ended = Some(true);
                break;
            }
            at += chunk.len() as u64;
            stream.push_headers(&chunk, &mut scan);
        }
        let separator = scan.ended == Some(false);
        let start = if separator { scan.at + 2 } else { scan.at };
        let body = if start < content.len() { vec![(start, content.len())] } else { Vec::new() };
        Ok(Self { fields: scan.fields, body, separator, body_replaced: false })
    }

    fn find(&self, name: &[u8], index: u32) -> Option<usize> {
        let same = |f: &(usize, &Field)| !f.1.own && f.1.name.eq_ignore_ascii_case(name);
        let nth = usize::try_from(index.saturating_sub(1)).ok()?;
        self.fields.iter().enumerate().filter(same).nth(nth).map(|(i, _)| i)
    }

    /// A field behind all others; `None`: nothing.
    pub fn append(&mut self, field: Option<Vec<u8>>) {
        self.fields.extend(field.map(Field::new));
    }

    /// A field in front of the `index`th.
    pub fn insert(&mut self, index: u32, field: Option<Vec<u8>>) {
        let at = usize::try_from(index).unwrap_or(usize::MAX).min(self.fields.len());
        if let Some(text) = field {
            self.fields.insert(at, Field::new(text));
        }
    }

    /// Another text for a field, or none; a field that is not there is added.
    pub fn change(&mut self, name: &[u8], index: u32, field: Option<Vec<u8>>) {
        match (self.find(name, index), field) {
            (None, field) => self.append(field),
            (Some(at), None) => drop(self.fields.remove(at)),
            (Some(at), Some(text)) => {
                if let Some(slot) = self.fields.get_mut(at) {
                    *slot = Field::new(text);
                }
            }
        }
    }

    /// Whether a piece of a new body would be its first.
    pub fn body_is_old(&self) -> bool {
        !self.body_replaced
    }

    /// A piece of a new body.
    pub fn body(&mut self, piece: &[u8], out: &mut Output) -> Result<(), SubmitError> {
        if !std::mem::replace(&mut self.body_replaced, true) {
            self.body.clear();
        }
        let start = out.len();
        out.store(piece)?;
        self.body.push((start, start + piece.len() as u64));
        Ok(())
    }

    /// Writes the message as it is to be.
    pub fn write(self, out: &mut Output) -> Result<(), SubmitError> {
        let unreadable = |_| crate::reply::write_error();
        let Some(old) = out.restart() else { return Ok(()) };
        for field in &self.fields {
            match &field.text {
                Text::New(text) => out.write(text)?,
                Text::Kept(start, len) => copy(&old, *start, start + len, out, unreadable)?,
            }
        }
        if self.separator || !self.body.is_empty() {
            out.write(b"\r\n")?;
        }
        for (start, end) in self.body {
            copy(&old, start, end, out, unreadable)?;
        }
        Ok(())
    }
}

impl Field {
    fn new(text: Vec<u8>) -> Self {
        let name = Header::parse(&text).map(|h| h.name().to_vec()).unwrap_or_default();
        Self { name, text: Text::New(text), own: false }
    }
}

fn copy(
    from: &Content,
    mut at: u64,
    end: u64,
    out: &mut Output,
    unreadable: impl Fn(io::Error) -> SubmitError,
) -> Result<(), SubmitError> {
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
        let chunk = from.chunk(at, most).map_err(&unreadable)?;
        if chunk.is_empty() {
            break;
        }
        out.write(&chunk)?;
        at += chunk.len() as u64;
    }
    Ok(())
}

/// A header field in wire form. Each further line of the value is a continuation, whatever it begins with.
pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = name.to_vec();
    out.push(b':');
    for (i, line) in value.split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if i > 0 {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            out.extend_from_slice(b"\r\n");
            if !line.starts_with(b" ") && !line.starts_with(b"\t") {
                out.push(b'\t');
            }
        }
        out.extend(line.iter().filter(|b| **b != b'\r'));
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Whether a milter's header name is one.
pub(crate) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| matches!(b, b'!'..=b'9' | b';'..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        assert_eq!(field(b"A", b" b"), b"A: b\r\n");
        assert_eq!(field(b"A", b" b\n\tc\r\n d"), b"A: b\r\n\tc\r\n d\r\n");
        assert_eq!(field(b"A", b" b\nX: c\n\n"), b"A: b\r\n\tX: c\r\n");
        assert!(is_name(b"X-A") && !is_name(b"X A") && !is_name(b"") && !is_name(b"A\r\nB"));
    }

    #[test]
    fn positions() {
        let text = "Received: x\r\nA: 1\r\nB: 2\r\nA: 3\r\n\r\nbody\r\n";
        let mut e = Edited::scan(&Content::Memory(text.into())).unwrap();
        assert_eq!((e.fields.len(), e.separator, e.body.clone()), (4, true, vec![(33, 39)]));
        assert_eq!(
            (e.find(b"a", 1), e.find(b"A", 2), e.find(b"A", 0), e.find(b"A", 3)),
            (Some(1), Some(3), Some(1), None)
        );
        assert_eq!(e.find(b"Received", 1), None);
        e.change(b"A", 1, None);
        assert_eq!(e.find(b"A", 1), Some(2));
        e.insert(0, Some(b"Top: x\r\n".to_vec()));
        e.insert(99, Some(b"End: x\r\n".to_vec()));
        e.change(b"New", 1, Some(b"New: y\r\n".to_vec()));
        let names: Vec<_> = e.fields.iter().map(|f| String::from_utf8_lossy(&f.name).into_owned()).collect();
        assert_eq!(names, ["Top", "Received", "B", "A", "End", "New"]);
        let e = Edited::scan(&Content::Memory("A: 1\r\n".into())).unwrap();
        assert_eq!((e.separator, e.body.len()), (false, 0));
        let many = format!("{}\r\nbody\r\n", "A: 1\r\n".repeat(MAX_FIELDS + 10));
        let e = Edited::scan(&Content::Memory(many.clone().into())).unwrap();
        assert_eq!((e.fields.len(), e.separator), (MAX_FIELDS, true));
        let kept = |f: &Field| if let Text::Kept(at, len) = f.text { (at, len) } else { (0, 0) };
        let ends: Vec<u64> = e.fields.iter().map(kept).map(|(at, len)| at + len).collect();
        assert_eq!(ends.last().map(|end| end + 2), e.body.first().map(|range| range.0));
        assert_eq!(e.body.first().map(|range| range.1), Some(many.len() as u64));
    }
}
