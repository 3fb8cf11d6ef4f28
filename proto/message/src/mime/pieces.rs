//! Content taken apart, kept in order: for those who have to wait (look something up) between two pieces.

use super::{MimeError, MimeSink, Section};
use crate::Header;

/// What a piece of content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// A header.
    Header(Section),
    /// The end of the first header section; true: without separator.
    EndOfHeaders(bool),
    /// Text, with its offset in its part.
    Body(u64),
    /// Something is wrong with the text.
    Error(MimeError),
}

/// The pieces of a chunk.
#[derive(Debug, Default)]
pub struct Cut {
    text: Vec<u8>,
    /// In order, each with the end of its text.
    pieces: Vec<(Piece, usize)>,
}

impl Cut {
    fn add(&mut self, piece: Piece, text: &[u8]) {
        self.text.extend_from_slice(text);
        self.pieces.push((piece, self.text.len()));
    }

    /// How many bytes there are.
    pub fn size(&self) -> usize {
        self.text.len()
    }

    /// The pieces with their texts.
    pub fn pieces(&self) -> impl Iterator<Item = (Piece, &[u8])> {
        let mut at = 0;
        self.pieces.iter().map(move |(piece, end)| {
            let text = self.text.get(at..*end).unwrap_or_default();
            at = *end;
            (*piece, text)
        })
    }
}

impl MimeSink for Cut {
    fn header(&mut self, section: Section, header: Header<'_>) {
        self.add(Piece::Header(section), header.raw());
    }

    fn end_of_headers(&mut self, separator_missing: bool) {
        self.add(Piece::EndOfHeaders(separator_missing), b"");
    }

    fn body(&mut self, text: &[u8], offset: u64) {
        self.add(Piece::Body(offset), text);
    }

    fn error(&mut self, error: MimeError, text: &[u8]) {
        self.add(Piece::Error(error), text);
    }
}
