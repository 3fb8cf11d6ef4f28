//! Text as quoted-printable, line by line. RFC 2045 6.7.
//!
//! Lines are broken where Postfix breaks them: before a character that would stand behind column 73. Blanks are
//! encoded at line ends only.

/// A line is broken before it gets longer than this.
const WIDTH: usize = 73;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The encoder; it knows where in the line it stands.
#[derive(Debug, Default)]
pub struct Quoted {
    column: usize,
    /// A blank whose fate the next byte decides.
    blank: Option<u8>,
}

impl Quoted {
    /// Encodes part of a line, which has no line end in it; `each` gets every finished line with its CRLF, what is not
    /// finished is appended to `out`.
    pub fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for &byte in text {
            if let Some(blank) = self.blank.take() {
                self.plain(blank, out);
            }
            match byte {
                b' ' | b'\t' => self.blank = Some(byte),
                b'=' | 0..=31 | 127..=255 => self.encoded(byte, out),
                _ => self.plain(byte, out),
            }
        }
    }

    /// The end of the line.
    pub fn end_line(&mut self, out: &mut Vec<u8>) {
        self.finish(out);
        out.extend_from_slice(b"\r\n");
        self.column = 0;
    }

    /// The end of the text, without line end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(blank) = self.blank.take() {
            self.encoded(blank, out);
        }
    }

    fn room(&mut self, out: &mut Vec<u8>) {
        if self.column >= WIDTH {
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
    }

    fn plain(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.room(out);
        out.push(byte);
        self.column += 1;
    }

    fn encoded(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.room(out);
        let digit = |n: u8| HEX.get(usize::from(n)).copied().unwrap_or(b'0');
        out.extend_from_slice(&[b'=', digit(byte >> 4), digit(byte & 15)]);
        self.column += 3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(line: &[u8]) -> String {
        let (mut q, mut out) = (Quoted::default(), Vec::new());
        q.push(line, &mut out);
        q.end_line(&mut out);
        let (mut single, mut again) = (Quoted::default(), Vec::new());
        line.iter().for_each(|b| single.push(&[*b], &mut again));
        single.end_line(&mut again);
        assert_eq!(out, again);
        String::from_utf8(out).unwrap().replace("\r\n", "|")
    }

    /// As seen with Postfix 3.7.11.
    #[test]
    fn lines() {
        let n = |n: usize| "123456789.".repeat(8)[..n].to_owned();
        for (line, want) in [
            (b"x\xe9=y ".to_vec(), "x=E9=3Dy=20|".to_owned()),
            (b"tab\t".to_vec(), "tab=09|".into()),
            (b"  ".to_vec(), " =20|".into()),
            (b".. From".to_vec(), ".. From|".into()),
            (b"\x01\x7f".to_vec(), "=01=7F|".into()),
            (n(73).into(), n(73) + "|"),
            (n(74).into(), n(73) + "=|" + "4|"),
            ((n(72) + " ").into(), n(72) + "=20|"),
            ((n(73) + " ").into(), n(73) + "=|=20|"),
            ((n(72) + "=").into(), n(72) + "=3D|"),
            ((n(73) + "=").into(), n(73) + "=|=3D|"),
        ] {
            assert_eq!(quoted(&line), want);
        }
    }
}
