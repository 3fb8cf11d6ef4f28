//! Check functions, called by the fuzz targets and by the bounded random runs of the tests. They panic on a defect.

use crate::{
    AddressHeader, Header, HeaderStream, Limits, Sink,
    mime::{Cut, MimeOptions, MimeStream, Piece, Pieces},
};
use std::fmt;

/// Everything a [`HeaderStream`] reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Events {
    headers: Vec<Vec<u8>>,
    end: Option<bool>,
    body: Vec<u8>,
}

impl Sink for Events {
    fn header(&mut self, header: Header<'_>) {
        assert!(self.end.is_none(), "a header after the end of headers");
        assert!(header.raw().ends_with(b"\r\n") || header.raw().ends_with(b"\n"));
        self.headers.push(header.raw().to_vec());
    }

    fn end_of_headers(&mut self, separator_missing: bool) {
        assert!(self.end.is_none(), "a second end of headers");
        self.end = Some(separator_missing);
    }

    fn body(&mut self, chunk: &[u8]) {
        assert!(self.end.is_some(), "body before the end of headers");
        self.body.extend_from_slice(chunk);
    }
}

impl Events {
    /// Runs the stream over the chunks.
    pub fn of<'a>(limits: Limits, chunks: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut events = Self::default();
        let mut stream = HeaderStream::new(limits);
        for chunk in chunks {
            stream.push(chunk, &mut events);
        }
        stream.finish(&mut events);
        events
    }
}

/// A short form for tests: line ends as `|`.
impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |b: &[u8]| String::from_utf8_lossy(b).replace("\r\n", "|");
        for h in &self.headers {
            write!(f, "H[{}]", show(h).trim_end_matches('|'))?;
        }
        match self.end {
            Some(true) => f.write_str("E!")?,
            Some(false) => f.write_str("E")?,
            None => {}
        }
        if !self.body.is_empty() {
            write!(f, " B[{}]", show(&self.body))?;
        }
        Ok(())
    }
}

/// The same events however the input is cut; nothing is lost below the limits.
pub fn header_stream(input: &[u8]) {
    for limits in [Limits { header_size: 20, line_length: 64 }, Limits::default()] {
        let whole = Events::of(limits, [input]);
        assert_eq!(whole, Events::of(limits, input.chunks(1)), "cut at every byte");
        for at in 0..input.len().min(200) {
            let (a, b) = input.split_at(at);
            assert_eq!(whole, Events::of(limits, [a, b]), "cut at {at}");
        }
    }
    let whole = Events::of(Limits::default(), [input]);
    if input.len() < 2000 && input.ends_with(b"\r\n") {
        let all: Vec<u8> = whole.headers.concat().into_iter().chain(whole.body.iter().copied()).collect();
        assert_eq!(all, input, "nothing is lost");
    }
}

fn cut_of<'a>(options: MimeOptions, chunks: impl IntoIterator<Item = &'a [u8]>) -> Cut {
    let (mut stream, mut cut) = (MimeStream::new(options), Cut::default());
    chunks.into_iter().for_each(|chunk| stream.push(chunk, &mut cut));
    stream.finish(&mut cut);
    cut
}

/// The same pieces however the input is cut; nothing is lost below the limits unless something is converted.
pub fn mime_stream(input: &[u8]) {
    let plain = MimeOptions {
        limits: Limits { header_size: 10_000, line_length: 64 },
        structure: true,
        convert: false,
        nesting: 2,
        report_nesting: true,
        boundary: 100,
        pieces: Pieces::Lines,
        strict_headers: true,
        strict_body: true,
        strict_domain: true,
    };
    for options in [plain, MimeOptions { convert: true, ..plain }, MimeOptions { structure: false, ..plain }]
    {
        let whole = cut_of(options, [input]);
        let single = cut_of(options, input.chunks(1));
        assert!(whole.pieces().eq(single.pieces()), "cut at every byte");
        for at in 0..input.len().min(100) {
            let (a, b) = input.split_at(at);
            assert!(whole.pieces().eq(cut_of(options, [a, b]).pieces()), "cut at {at}");
        }
    }
    if input.len() < 2000 && input.ends_with(b"\r\n") {
        let limits = Limits { header_size: 10_000, line_length: 10_000 };
        let whole = cut_of(MimeOptions { limits, pieces: Pieces::Any, ..plain }, [input]);
        let kept = whole.pieces().filter(|(piece, _)| !matches!(piece, Piece::Error(_)));
        assert_eq!(kept.map(|(_, text)| text).collect::<Vec<_>>().concat(), input, "nothing is lost");
    }
}

/// An address header parses and prints without line ends other than folds.
pub fn address_header(input: &[u8]) {
    let mut header = AddressHeader::parse(input, 1000);
    let printed = header.print(b"To");
    assert!(printed.ends_with(b"\r\n"));
    for line in printed.split(|&b| b == b'\n').skip(1).filter(|l| !l.is_empty()) {
        assert!(line.starts_with(b"\t"), "{}", String::from_utf8_lossy(&printed));
    }
    let _ = header.addresses_mut().count();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn header_like(text in "([A-C :\\t]{0,6}(a{0,40})?(\\r\\n|\\n|\\r|: )){0,8}") {
            super::header_stream(text.as_bytes());
        }

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            super::header_stream(&bytes);
            super::mime_stream(&bytes);
            super::address_header(&bytes);
        }
    }
}
