//! `message_strip_characters` and `message_reject_characters`: bytes that are taken out of content, or for which it is
//! refused. Called for every chunk before anything else looks at it; without such characters it costs nothing.
//!
//! The value is a list of characters with the escapes of C. Line ends are never taken out (nor a CR that a chunk
//! ends in, which [`crate::stray`] holds back before).

/// How much of a line is kept for the log.
const SHOWN: usize = 200;

/// A set of bytes.
#[derive(Debug, Clone)]
pub struct ByteSet([bool; 256]);

impl ByteSet {
    /// Reads a parameter; `None` when it is empty.
    pub fn parse(value: &str) -> Option<Self> {
        let mut set = [false; 256];
        let mut add = |byte: u8| {
            if let Some(slot) = set.get_mut(usize::from(byte)) {
                *slot = true;
            }
        };
        let mut rest = value.as_bytes();
        while let [byte, tail @ ..] = rest {
            rest = tail;
            if *byte != b'\\' {
                add(*byte);
                continue;
            }
            let digits = rest.iter().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            if digits > 0 {
                let octal = rest.iter().take(digits).fold(0u32, |n, b| n * 8 + u32::from(b - b'0'));
                add(u8::try_from(octal & 255).unwrap_or(0));
                rest = rest.get(digits..).unwrap_or_default();
            } else if let [letter, tail @ ..] = rest {
                rest = tail;
                add(escape(*letter));
            }
        }
        (!value.is_empty()).then_some(Self(set))
    }

    fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or(false)
    }
}

fn escape(letter: u8) -> u8 {
    match letter {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        other => other,
    }
}

/// Watches the content of one message.
#[derive(Debug, Default)]
pub(crate) struct Characters {
    strip: Option<ByteSet>,
    reject: Option<ByteSet>,
    /// The start of the current line.
    line: Vec<u8>,
}

impl Characters {
    /// `None` when there is nothing to do.
    pub fn new(strip: &Option<ByteSet>, reject: &Option<ByteSet>) -> Option<Self> {
        let some = strip.is_some() || reject.is_some();
        some.then(|| Self { strip: strip.clone(), reject: reject.clone(), line: Vec::new() })
    }

    /// Adds the chunk without the characters to `out`, and gives the line that holds one for which content is refused.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Option<Vec<u8>> {
        let mut bytes = chunk.iter().enumerate().peekable();
        while let Some((at, &byte)) = bytes.next() {
            let line_end =
                byte == b'\n' || byte == b'\r' && bytes.peek().is_none_or(|(_, next)| **next == b'\n');
            if !line_end && self.reject.as_ref().is_some_and(|set| set.has(byte)) {
                return Some(self.whole_line(chunk.get(at..).unwrap_or_default()));
            }
            self.note(byte);
            if line_end || !self.strip.as_ref().is_some_and(|set| set.has(byte)) {
                out.push(byte);
            }
        }
        None
    }

    fn note(&mut self, byte: u8) {
        if byte == b'\n' {
            self.line.clear();
        } else if byte != b'\r' && self.line.len() < SHOWN {
            self.line.push(byte);
        }
    }

    fn whole_line(&mut self, rest: &[u8]) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.line);
        line.extend(rest.iter().take_while(|b| !matches!(b, b'\r' | b'\n')).take(SHOWN));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(strip: &str, reject: &str, content: &[u8], want: Result<&[u8], &[u8]>) {
        for size in [1, 3, 100] {
            let mut c = Characters::new(&ByteSet::parse(strip), &ByteSet::parse(reject)).unwrap();
            let mut got = Vec::new();
            let bad = content.chunks(size).find_map(|chunk| c.push(chunk, &mut got));
            let got = bad.map_or(Ok(got), Err);
            match (got, want) {
                (Ok(got), want) => assert_eq!(Ok(got.as_slice()), want),
                // Of a line that comes in pieces, what is there.
                (Err(line), Err(want)) => assert!(want.starts_with(&line)),
                (got, want) => panic!("{got:?} {want:?}"),
            }
        }
    }

    #[test]
    fn strip_and_reject() {
        check("\\001\\x", "", b"ax\x01b\\\r\n", Ok(b"ab\\\r\n"));
        check("\\r\\n", "", b"a\r\nb\r\n", Ok(b"a\r\nb\r\n"));
        check("", "\\0", b"a\r\nb\0c\r\nd\r\n", Err(b"b\0c"));
        check("\\t\\\\", "", b"a\t\\b", Ok(b"ab"));
        assert!(ByteSet::parse("").is_none());
    }
}
