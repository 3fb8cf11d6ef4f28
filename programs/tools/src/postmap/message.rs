//! The keys that `postmap -q -` with -h and -b takes from a message on standard input.
//!
//! Headers are logical lines with their line ends inside, body keys are single lines; the empty line behind the
//! headers is one. With -m, headers of attachments and attached messages are header keys and no body keys. Without,
//! everything behind the first line that is no header is body.

use super::options::Options;

/// The deepest nesting that is followed.
const MAX_DEPTH: usize = 100;

/// All keys, in order.
pub fn keys(text: &[u8], options: &Options) -> Vec<Vec<u8>> {
    let mut reader =
        Reader { options, keys: Vec::new(), header: Vec::new(), kind: Kind::Other, boundaries: Vec::new() };
    let mut in_headers = true;
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    for line in text.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        in_headers = if in_headers { reader.header_line(line) } else { reader.body_line(line) };
    }
    reader.end_header();
    reader.keys
}

/// What the headers say about the body behind them.
enum Kind {
    Other,
    Multipart(Vec<u8>),
    Message,
}

struct Reader<'a> {
    options: &'a Options,
    keys: Vec<Vec<u8>>,
    header: Vec<u8>,
    kind: Kind,
    boundaries: Vec<Vec<u8>>,
}

impl Reader<'_> {
    /// Gives whether headers go on.
    fn header_line(&mut self, line: &[u8]) -> bool {
        if line.first().is_some_and(|b| *b == b' ' || *b == b'\t') && !self.header.is_empty() {
            self.header.push(b'\n');
            self.header.extend_from_slice(line);
            return true;
        }
        self.end_header();
        if is_header(line) {
            self.header = line.to_vec();
            return true;
        }
        match std::mem::replace(&mut self.kind, Kind::Other) {
            Kind::Multipart(boundary) if self.boundaries.len() < MAX_DEPTH => self.boundaries.push(boundary),
            Kind::Message => {
                self.body_key(line);
                return true;
            }
            _ => (),
        }
        match line.is_empty() {
            true => {
                self.body_key(line);
                false
            }
            false => self.body_line(line),
        }
    }

    /// Gives whether headers begin behind this line.
    fn body_line(&mut self, line: &[u8]) -> bool {
        self.body_key(line);
        let Some(rest) = line.strip_prefix(b"--").filter(|_| self.options.mime) else { return false };
        let Some(at) = self.boundaries.iter().rposition(|b| rest.starts_with(b)) else { return false };
        let closes =
            rest.get(self.boundaries.get(at).map_or(0, Vec::len)..).is_some_and(|r| r.starts_with(b"--"));
        self.boundaries.truncate(if closes { at } else { at + 1 });
        !closes
    }

    fn body_key(&mut self, line: &[u8]) {
        if self.options.body {
            self.keys.push(line.to_vec());
        }
    }

    fn end_header(&mut self) {
        if self.header.is_empty() {
            return;
        }
        let header = std::mem::take(&mut self.header);
        if self.options.mime {
            self.note_type(&header);
        }
        if self.options.headers {
            self.keys.push(header);
        }
    }

    fn note_type(&mut self, header: &[u8]) {
        let text = String::from_utf8_lossy(header);
        let Some((name, value)) = text.split_once(':') else { return };
        if !name.trim().eq_ignore_ascii_case("content-type") {
            return;
        }
        let value = value.trim_start();
        let lower = value.to_ascii_lowercase();
        if lower.starts_with("message/rfc822") || lower.starts_with("message/global") {
            self.kind = Kind::Message;
        } else if let Some(at) = lower.find("boundary=").filter(|_| lower.starts_with("multipart/")) {
            let rest = value.get(at + "boundary=".len()..).unwrap_or_default();
            let boundary = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next(),
                None => rest.split([';', ' ', '\t', '\n']).next(),
            };
            self.kind = Kind::Multipart(boundary.unwrap_or_default().as_bytes().to_vec());
        }
    }
}

/// `name:`, without white space in the name.
fn is_header(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|b| *b == b':') else { return false };
    let name = line.get(..colon).unwrap_or_default();
    let name = name.trim_ascii_end();
    !name.is_empty() && name.iter().all(|b| (33..127).contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postmap::{Command, options};
    use std::ffi::OsString;

    fn check(letters: &str, text: &str, want: &[&str]) {
        let args: Vec<OsString> = [letters, "-q", "-", "static:x"].iter().map(OsString::from).collect();
        let options = options::parse(Command::Postmap, &args).unwrap();
        let got: Vec<_> =
            keys(text.as_bytes(), &options).iter().map(|k| String::from_utf8_lossy(k).into_owned()).collect();
        assert_eq!(got, want, "{letters} {text:?}");
    }

    const PARTS: &str = "h: y\n cont\nContent-Type: multipart/mixed; boundary=x\n\npre\n--x\nFoo: bar\n\nbody\n--x--\nafter\n";

    #[test]
    fn keys_of_messages() {
        check("-b", "Subject: abc\n\nabc\n", &["", "abc"]);
        check("-h", "Subject: abc\n\nabc: d\n", &["Subject: abc"]);
        check("-hb", "a: y\n cont\n\nbodya\n", &["a: y\n cont", "", "bodya"]);
        check("-h", PARTS, &["h: y\n cont", "Content-Type: multipart/mixed; boundary=x"]);
        check("-hm", PARTS, &["h: y\n cont", "Content-Type: multipart/mixed; boundary=x", "Foo: bar"]);
        check("-bm", PARTS, &["", "pre", "--x", "", "body", "--x--", "after"]);
        check(
            "-hm",
            "Content-Type: message/rfc822\n\nSubject: in\n\ntext: no\n",
            &["Content-Type: message/rfc822", "Subject: in"],
        );
        check("-b", "no header\n", &["no header"]);
    }
}
