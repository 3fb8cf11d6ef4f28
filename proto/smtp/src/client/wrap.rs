//! Content on its way to a server: dots doubled at line starts, lines over the limit broken (postconf(5)
//! `smtp_line_length_limit`: CR LF and a blank are put in). One pass, nothing copied.

use memchr::memchr;

const BREAK: &[u8] = b"\r\n ";

/// Writes content in slices.
#[derive(Debug, Clone)]
pub struct BodyWriter {
    /// Longest line without its end; 0 means no limit.
    limit: usize,
    /// Bytes of the present line so far; 0 at its start.
    column: usize,
    at_start: bool,
    broken: bool,
}

impl BodyWriter {
    /// At the start of the content.
    pub fn new(limit: usize) -> Self {
        Self { limit, column: 0, at_start: true, broken: false }
    }

    /// Hands the wire form of `content` (CRLF line ends) to `emit`, in slices of it. Clean content is one slice.
    pub fn push<'a>(&mut self, content: &'a [u8], mut emit: impl FnMut(&'a [u8])) {
        let (mut from, mut at) = (0, 0);
        while let Some(rest) = content.get(at..).filter(|r| !r.is_empty()) {
            if self.at_start && rest.first() == Some(&b'.') {
                emit(content.get(from..at).unwrap_or_default());
                emit(b".");
                from = at;
            }
            let (len, ended) = match memchr(b'\n', rest) {
                Some(lf) => (lf + 1, true),
                None => (rest.len(), false),
            };
            // The line end does not count.
            if self.limit > 0 && self.column + len > self.limit + 2 * usize::from(ended) {
                from = self.broken(content, from, at, len, &mut emit);
            } else {
                self.column += len;
            }
            at += len;
            self.at_start = ended;
            if ended {
                self.column = 0;
            }
        }
        let last = content.get(from..).unwrap_or_default();
        if !last.is_empty() {
            emit(last);
        }
    }

    /// Emits up to the last break of a line that is too long; returns from where the rest is to be emitted.
    fn broken<'a>(
        &mut self,
        content: &'a [u8],
        mut from: usize,
        at: usize,
        len: usize,
        emit: &mut impl FnMut(&'a [u8]),
    ) -> usize {
        let text_end = match content.get(at..at + len) {
            Some([.., b'\r', b'\n']) => at + len - 2,
            _ => at + len,
        };
        let mut cut = at + self.limit.saturating_sub(self.column);
        while cut < text_end {
            emit(content.get(from..cut).unwrap_or_default());
            emit(BREAK);
            self.broken = true;
            from = cut;
            self.column = 1;
            cut += self.limit.saturating_sub(1).max(1);
        }
        self.column += (at + len).saturating_sub(from.max(at));
        from
    }

    /// Whether a line had to be broken so far.
    pub fn has_broken(&self) -> bool {
        self.broken
    }

    /// What ends the data; a last line without its end gets one.
    pub fn finish(&self) -> &'static [u8] {
        if self.at_start { b".\r\n" } else { b"\r\n.\r\n" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(limit: usize, chunks: &[&str]) -> String {
        let mut w = BodyWriter::new(limit);
        let mut out = Vec::new();
        for c in chunks {
            w.push(c.as_bytes(), |s| out.extend_from_slice(s));
        }
        out.extend_from_slice(w.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dots_and_ends() {
        for (content, want) in [
            ("", ".\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            (".\r\n", "..\r\n.\r\n"),
            (".a\r\n..b\r\nc.d\r\n.", "..a\r\n...b\r\nc.d\r\n..\r\n.\r\n"),
        ] {
            assert_eq!(write(998, &[content]), want);
        }
    }

    #[test]
    fn long_lines() {
        for (content, want) in [
            ("12345\r\n", "12345\r\n.\r\n"),
            ("123456\r\n", "12345\r\n 6\r\n.\r\n"),
            ("1234567890\r\nab\r\n", "12345\r\n 6789\r\n 0\r\nab\r\n.\r\n"),
        ] {
            assert_eq!(write(5, &[content]), want);
            assert_eq!(write(0, &[content]), format!("{content}.\r\n"));
        }
    }

    #[test]
    fn split_anywhere() {
        let content = "a\r\n.b\r\n..\r\n\r\nc\r\n.";
        let whole = write(998, &[content]);
        for i in 0..=content.len() {
            let (a, b) = content.split_at(i);
            assert_eq!(write(998, &[a, b]), whole, "{i}");
        }
    }

    #[test]
    fn clean_content_is_one_slice() {
        let mut w = BodyWriter::new(998);
        let mut n = 0;
        w.push(b"a\r\nb\r\n\r\nc\r\n", |_| n += 1);
        assert_eq!(n, 1);
    }
}
