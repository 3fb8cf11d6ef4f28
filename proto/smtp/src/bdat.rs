//! BDAT content (RFC 3030): counted chunks, brought to canonical line ends.
//!
//! Each chunk is announced with its size; a dot is only a dot. Lines may go on across chunks; a last line without its
//! end gets one from [`BdatFramer::finish`].

use crate::data::{BareLf, DataFramer, Framer, Piece, Step};

/// Takes chunks apart; one for each message.
#[derive(Debug, Clone)]
pub struct BdatFramer {
    lines: DataFramer,
    left: u64,
}

impl BdatFramer {
    /// No chunk yet.
    pub fn new(rule: BareLf) -> Self {
        Self { lines: DataFramer::without_dots(rule), left: 0 }
    }

    /// A chunk of `size` bytes begins.
    pub fn chunk(&mut self, size: u64) {
        self.left = size;
    }

    /// Bytes of the chunk that are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Whether a bare LF was seen so far.
    pub fn bare_lf(&self) -> bool {
        self.lines.bare_lf()
    }

    /// Deals with the start of `input`; takes nothing beyond the chunk. [`Piece::End`]: the chunk is complete.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        let step = self.lines.next(input.get(..most).unwrap_or_default());
        self.left -= step.used as u64;
        if self.left == 0 && step == (Step { used: 0, piece: None }) {
            return Step { used: 0, piece: Some(Piece::End) };
        }
        step
    }

    /// After the last chunk: what makes the last line whole.
    pub fn finish(self) -> &'static [u8] {
        if self.lines.at_line_start() { b"" } else { b"\r\n" }
    }
}

impl Framer for BdatFramer {
    fn next<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        Self::next(self, input)
    }

    fn wants_input(&self) -> bool {
        self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(chunks: &[&[u8]]) -> Vec<u8> {
        let mut f = BdatFramer::new(BareLf::Normalize);
        let mut out = Vec::new();
        for c in chunks {
            f.chunk(c.len() as u64);
            let wire = [c, b"NOOP\r\n".as_slice()].concat();
            let mut at = 0;
            loop {
                let s = f.next(&wire[at..]);
                at += s.used;
                match s.piece {
                    Some(Piece::Content(p)) => out.extend_from_slice(p),
                    Some(Piece::End) => break,
                    None => {}
                }
            }
            assert_eq!(&wire[at..], b"NOOP\r\n");
        }
        out.extend_from_slice(f.finish());
        out
    }

    #[test]
    fn chunks() {
        for (chunks, want) in [
            (&[b"a\nb\n".as_slice(), b"a\r\nb"] as &[&[u8]], b"a\r\nb\r\na\r\nb\r\n".as_slice()),
            (&[b"a\r", b"\nb\r\n"], b"a\r\nb\r\n"),
            (&[b".\r\n.\r\n"], b".\r\n.\r\n"),
            (&[b"", b""], b""),
            (&[b"x"], b"x\r\n"),
        ] {
            assert_eq!(run(chunks), want);
        }
    }
}
