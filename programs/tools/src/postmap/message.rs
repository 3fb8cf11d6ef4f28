//! The keys that `postmap -q -` with -h and -b takes from a message on standard input.
//!
//! Headers are logical lines with their line ends inside, body keys are single lines; the empty line behind the
//! headers is one. With -m, headers of attachments and attached messages are header keys and no body keys. Without,
//! everything behind the first line that is no header is body.

use super::options::Options;
use proto_message::{
    Limits, checks,
    mime::{Cut, MimeOptions, MimeStream, Piece, Pieces},
};

/// The deepest nesting that is followed, and the longest boundary.
const MAX_DEPTH: usize = 100;
const MAX_BOUNDARY: usize = 2048;

/// All keys, in order.
pub fn keys(text: &[u8], options: &Options) -> Vec<Vec<u8>> {
    let mut stream = MimeStream::new(MimeOptions {
        limits: Limits::default(),
        structure: options.mime,
        convert: false,
        nesting: MAX_DEPTH,
        report_nesting: false,
        boundary: MAX_BOUNDARY,
        pieces: Pieces::Lines,
        strict_headers: false,
        strict_body: false,
        strict_domain: false,
    });
    let mut cut = Cut::default();
    for line in text.split_inclusive(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        stream.push(line.strip_suffix(b"\r").unwrap_or(line), &mut cut);
        stream.push(b"\r\n", &mut cut);
    }
    stream.finish(&mut cut);
    let wanted = |piece: &Piece| match piece {
        Piece::Header(_) => options.headers,
        Piece::Body(_) => options.body,
        Piece::EndOfHeaders(_) | Piece::Error(_) => false,
    };
    let pieces = cut.pieces().filter(|(piece, _)| wanted(piece));
    pieces.map(|(_, text)| checks::key(text)).collect()
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
