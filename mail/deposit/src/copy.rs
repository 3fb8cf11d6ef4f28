//! Writing content out: wire form in, a mailbox's or a command's form out.
//!
//! Line ends become what the job says, `From ` and `.` at the start of a line are quoted where asked for. Memory is
//! bounded by the chunk size, whatever the length of a line.

use crate::job::Copying;
use base_calls::Content;
use std::io::{self, Write};

const CHUNK: usize = 64 * 1024;

/// Writes prefix, content and end.
pub fn copy(content: &Content, how: &Copying, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&how.prefix)?;
    let mut lines = Lines { how, out, at_start: true, held: Vec::new() };
    let mut at = 0;
    loop {
        let chunk = content.chunk(at, CHUNK)?;
        if chunk.is_empty() {
            break;
        }
        at += chunk.len() as u64;
        lines.feed(&chunk)?;
    }
    lines.finish()?;
    if how.blank_end {
        out.write_all(&how.eol)?;
    }
    Ok(())
}

struct Lines<'a, W> {
    how: &'a Copying,
    out: &'a mut W,
    /// The next byte starts a line.
    at_start: bool,
    /// Bytes that wait for more: the start of a line, or a CR.
    held: Vec<u8>,
}

/// So many bytes of a line are needed to decide on quoting.
const NEEDED: usize = 5;

impl<W: Write> Lines<'_, W> {
    fn feed(&mut self, chunk: &[u8]) -> io::Result<()> {
        if self.held.is_empty() {
            return self.lines(chunk);
        }
        let mut joined = std::mem::take(&mut self.held);
        joined.extend_from_slice(chunk);
        self.lines(&joined)
    }

    fn lines(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            self.whole(line.strip_suffix(b"\r").unwrap_or(line))?;
            rest = after.get(1..).unwrap_or_default();
        }
        self.partial(rest)
    }

    fn whole(&mut self, line: &[u8]) -> io::Result<()> {
        self.start(line)?;
        self.out.write_all(line)?;
        self.at_start = true;
        self.out.write_all(&self.how.eol)
    }

    fn start(&mut self, line: &[u8]) -> io::Result<()> {
        if !self.at_start {
            return Ok(());
        }
        if self.how.quote_from && line.starts_with(b"From ") {
            self.out.write_all(b">")?;
        }
        if self.how.quote_dot && line.starts_with(b".") {
            self.out.write_all(b".")?;
        }
        Ok(())
    }

    /// Bytes of a line whose end is not there yet.
    fn partial(&mut self, rest: &[u8]) -> io::Result<()> {
        if rest.is_empty() {
            return Ok(());
        }
        if self.at_start && rest.len() < NEEDED {
            self.held.extend_from_slice(rest);
            return Ok(());
        }
        let (now, cr) = rest.split_at(rest.len() - usize::from(rest.ends_with(b"\r")));
        self.start(now)?;
        self.at_start = self.at_start && now.is_empty();
        self.out.write_all(now)?;
        self.held.extend_from_slice(cr);
        Ok(())
    }

    /// Content ends with a line end; one that does not gets it.
    fn finish(mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() && self.at_start {
            return Ok(());
        }
        self.whole(&held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn how(quote_from: bool, quote_dot: bool, eol: &str) -> Copying {
        Copying { eol: eol.into(), quote_from, quote_dot, ..Copying::default() }
    }

    fn split(text: &[u8], at: usize, how: &Copying) -> String {
        let mut out = Vec::new();
        let mut lines = Lines { how, out: &mut out, at_start: true, held: Vec::new() };
        lines.feed(&text[..at]).unwrap();
        lines.feed(&text[at..]).unwrap();
        lines.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    fn check(how: &Copying, text: &str, expect: &str) {
        for at in 0..=text.len() {
            assert_eq!(split(text.as_bytes(), at, how), expect, "split at {at}");
        }
        let mut out = Vec::new();
        copy(&Content::Memory(Bytes::copy_from_slice(text.as_bytes())), how, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn line_ends_and_quoting_wherever_it_is_split() {
        let text = "Subject: x\r\n\r\nFrom here\r\n>From there\r\nFrom\r\nFrom \r\n.dot\r\na\rb\r\n\r\n";
        check(&how(false, false, "\n"), text, &text.replace("\r\n", "\n"));
        check(&how(false, false, "\r\n"), text, text);
        check(
            &how(true, true, "\n"),
            text,
            "Subject: x\n\n>From here\n>From there\nFrom\n>From \n..dot\na\rb\n\n",
        );
        check(&how(true, false, "\n"), "From ", ">From \n");
        check(&how(true, true, "\n"), "a", "a\n");
        check(&how(true, true, "\n"), "", "");
    }

    #[test]
    fn prefix_and_blank_end() {
        let how = Copying { prefix: b"P\n".to_vec(), blank_end: true, ..how(false, false, "\n") };
        let mut out = Vec::new();
        copy(&Content::Memory(Bytes::from_static(b"x\r\n")), &how, &mut out).unwrap();
        assert_eq!(out, b"P\nx\n\n");
    }

    #[test]
    fn a_line_longer_than_a_chunk() {
        let long = format!("{}\r\nFrom x\r\n", "From y".repeat(50_000));
        let mut out = Vec::new();
        copy(&Content::Memory(Bytes::from(long.clone())), &how(true, false, "\n"), &mut out).unwrap();
        let expect = format!(">{}", long.replace("\r\nFrom x", "\n>From x").replace("\r\n", "\n"));
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }
}
