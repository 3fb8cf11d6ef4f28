//! The message as it comes on standard input: any line ends in, wire form out.
//!
//! `From ` lines of a mailbox before the header are dropped; with `dot_ends` a line with a single dot ends the message.
//! Lines of any length are passed on in pieces.

use std::io::{self, BufRead};

/// Longest piece of a line.
const PIECE: usize = 16 * 1024;

/// Reads it.
pub struct Input<R> {
    from: R,
    dot_ends: bool,
}

impl<R: BufRead> Input<R> {
    /// Reads from `from`.
    pub fn new(from: R, dot_ends: bool) -> Self {
        Self { from, dot_ends }
    }

    /// Hands over everything in wire form.
    pub fn copy<E: From<String>>(&mut self, mut out: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut piece = Vec::with_capacity(256);
        let (mut in_front, mut at_start) = (true, true);
        loop {
            piece.clear();
            let ended = self.piece(&mut piece).map_err(|e| E::from(format!("read error: {e}")))?;
            if piece.is_empty() && !ended {
                return if at_start { Ok(()) } else { out(b"\r\n") };
            }
            while ended && piece.last() == Some(&b'\r') {
                piece.pop();
            }
            if at_start && ended && self.dot_ends && piece == b"." {
                return Ok(());
            }
            if at_start && in_front && is_mailbox_line(&piece) {
                if !ended {
                    self.skip_line().map_err(|e| E::from(format!("read error: {e}")))?;
                }
                continue;
            }
            in_front = false;
            at_start = ended;
            if ended {
                piece.extend_from_slice(b"\r\n");
            }
            out(&piece)?;
        }
    }

    /// Up to a line end (which is taken off: `true`), the end, or as much as a piece may hold.
    fn piece(&mut self, piece: &mut Vec<u8>) -> io::Result<bool> {
        while piece.len() < PIECE {
            let buf = match self.from.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if buf.is_empty() {
                return Ok(false);
            }
            match buf.iter().position(|&b| b == b'\n') {
                Some(at) => {
                    piece.extend_from_slice(buf.get(..at).unwrap_or_default());
                    self.from.consume(at + 1);
                    return Ok(true);
                }
                None => {
                    let n = buf.len();
                    piece.extend_from_slice(buf);
                    self.from.consume(n);
                }
            }
        }
        Ok(false)
    }

    fn skip_line(&mut self) -> io::Result<()> {
        let mut rest = Vec::new();
        while !self.piece(&mut rest)? {
            if rest.is_empty() {
                break;
            }
            rest.clear();
        }
        Ok(())
    }
}

fn is_mailbox_line(line: &[u8]) -> bool {
    line.starts_with(b"From ") || line.starts_with(b">From ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], dot_ends: bool, expect: &[u8]) {
        for capacity in [1, 2, 7, 100_000] {
            let mut out = Vec::new();
            let from = io::BufReader::with_capacity(capacity, input);
            let done: Result<(), String> = Input::new(from, dot_ends).copy(|b| {
                out.extend_from_slice(b);
                Ok(())
            });
            done.unwrap();
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expect), "{capacity}");
        }
    }

    #[test]
    fn line_ends_and_the_dot() {
        check(b"a\nb\r\nc", true, b"a\r\nb\r\nc\r\n");
        check(b"a\r\r\nb\n", true, b"a\r\nb\r\n");
        check(b"a\n.\nb\n", true, b"a\r\n");
        check(b"a\r\n.\r\nb\n", true, b"a\r\n");
        check(b"a\n.\nb\n", false, b"a\r\n.\r\nb\r\n");
        check(b"a\n..\n. \n", true, b"a\r\n..\r\n. \r\n");
        check(b"", true, b"");
        check(b"\n", true, b"\r\n");
        check(b"a\rb\n", true, b"a\rb\r\n");
    }

    #[test]
    fn mailbox_lines_in_front_are_dropped() {
        check(b"From x Mon Jan 1\n>From y\nSubject: x\n\nFrom z\n", true, b"Subject: x\r\n\r\nFrom z\r\n");
    }

    #[test]
    fn long_lines_come_whole() {
        let line = vec![b'x'; 3 * PIECE + 5];
        check(&line, true, &[&line[..], b"\r\n"].concat());
        let tail = [&line[..], b"\n.\n"].concat();
        check(&tail, true, &[&line[..], b"\r\n"].concat());
    }
}
