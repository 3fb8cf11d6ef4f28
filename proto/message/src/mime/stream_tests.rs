//! The MIME structure of whole messages, however they are cut in pieces.

use super::*;

/// Events as text: `P[…]` primary header, `M[…]` header of a part, `N[…]` nested header, `E` end of the first section
/// (`E!` without separator), `B<offset>[…]` text, `X[…]` error. Line ends are `|`.
#[derive(Default)]
struct Events {
    text: String,
    body: Vec<u8>,
    by_line: bool,
}

impl Events {
    fn flush(&mut self) {
        let body = std::mem::take(&mut self.body);
        if !body.is_empty() {
            self.text += &format!("B[{}]", shown(&body));
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "|")
}

impl MimeSink for Events {
    fn header(&mut self, section: Section, header: Header<'_>) {
        self.flush();
        let letter = match section {
            Section::Primary => 'P',
            Section::Part => 'M',
            Section::Nested => 'N',
        };
        let text = shown(header.raw());
        self.text += &format!("{letter}[{}]", text.strip_suffix('|').unwrap_or(&text));
    }

    fn end_of_headers(&mut self, separator_missing: bool) {
        self.flush();
        self.text += if separator_missing { "E!" } else { "E" };
    }

    fn body(&mut self, text: &[u8], offset: u64) {
        match self.by_line {
            true => self.text += &format!("B{offset}[{}]", shown(text)),
            false => self.body.extend_from_slice(text),
        }
    }

    fn error(&mut self, error: MimeError, text: &[u8]) {
        self.flush();
        self.text += &format!("X[{error:?} {}]", shown(text));
    }
}

const PLAIN: MimeOptions = MimeOptions {
    limits: Limits { header_size: 1000, line_length: 64 },
    structure: true,
    convert: false,
    nesting: 100,
    report_nesting: true,
    boundary: 2048,
    pieces: Pieces::Any,
    strict_headers: false,
    strict_body: false,
    strict_domain: false,
};

const BY_LINE: MimeOptions = MimeOptions { pieces: Pieces::Lines, ..PLAIN };

fn run(options: MimeOptions, content: &[u8], size: usize) -> String {
    let mut stream = MimeStream::new(options);
    let mut events = Events { by_line: options.pieces == Pieces::Lines, ..Events::default() };
    content.chunks(size).for_each(|chunk| stream.push(chunk, &mut events));
    stream.finish(&mut events);
    events.flush();
    events.text
}

/// However it is cut, the events are the same.
fn events(options: MimeOptions, content: &str) -> String {
    let content = content.replace('|', "\r\n");
    let whole = run(options, content.as_bytes(), usize::MAX);
    for size in [1, 2, 3, 7] {
        assert_eq!(run(options, content.as_bytes(), size), whole, "{content:?} by {size}");
    }
    whole
}

#[test]
fn sections() {
    for (content, want) in [
        ("A: b||x|", "P[A: b]EB[|x|]"),
        ("A: b|", "P[A: b]E"),
        ("x|y|", "E!B[x|y|]"),
        (
            "Content-Type: multipart/x; boundary=b||p|--b|A: b||t|--b--|e|--b|x|",
            "P[Content-Type: multipart/x; boundary=b]EB[|p|--b|]M[A: b]B[|t|--b--|e|--b|x|]",
        ),
        (
            "Content-Type: multipart/x; boundary=b|--b|A: b|--b|--b||--bcd|A: c||--b--|",
            "P[Content-Type: multipart/x; boundary=b]E!B[--b|]M[A: b]B[--b|--b||--bcd|]M[A: c]B[|--b--|]",
        ),
        (
            "Content-Type: message/rfc822||A: b|Content-Type: message/global||C: d|",
            "P[Content-Type: message/rfc822]EB[|]N[A: b]N[Content-Type: message/global]B[|]N[C: d]",
        ),
        (
            "Content-Type: multipart/digest; boundary=b||--b||A: b||x|",
            "P[Content-Type: multipart/digest; boundary=b]EB[|--b||]N[A: b]B[|x|]",
        ),
        (
            "Content-Type: multipart/x; boundary=a||--a|Content-Type: multipart/x; boundary=b||--b|A: 1||--a|A: 2||--b|x",
            "P[Content-Type: multipart/x; boundary=a]EB[|--a|]M[Content-Type: multipart/x; boundary=b]B[|--b|]M[A: 1]\
             B[|--a|]M[A: 2]B[|--b|x]",
        ),
        ("Content-Type: message/rfc822||body|A: b|", "P[Content-Type: message/rfc822]EB[|body|A: b|]"),
        ("Content-Type: multipart/x; boundary=b||-", "P[Content-Type: multipart/x; boundary=b]EB[|-]"),
    ] {
        assert_eq!(events(PLAIN, content), want, "{content}");
    }
}

#[test]
fn without_structure() {
    let options = MimeOptions { structure: false, strict_headers: true, strict_body: true, ..PLAIN };
    let content = "Content-Type: multipart/x; boundary=b||--b|A: é||";
    assert_eq!(events(options, content), "P[Content-Type: multipart/x; boundary=b]EB[|--b|A: é||]");
}

#[test]
fn lines_and_offsets() {
    let long = "x".repeat(100);
    for (content, want) in [
        ("A: b||x||yz|".to_owned(), "P[A: b]EB0[|]B1[x|]B3[|]B4[yz|]".to_owned()),
        (
            "Content-Type: multipart/x; boundary=b||p|--b||t|--b--|e|".into(),
            "P[Content-Type: multipart/x; boundary=b]EB0[|]B1[p|]B3[--b|]B0[|]B1[t|]B0[--b--|]B6[e|]".into(),
        ),
        (
            format!("A: b||{long}|y|"),
            format!("P[A: b]EB0[|]B1[{}]B66[{}|]B103[y|]", "x".repeat(64), "x".repeat(36)),
        ),
        ("x|y".into(), "E!B0[x|]B2[y]".into()),
    ] {
        assert_eq!(events(BY_LINE, &content), want, "{content}");
    }
}

#[test]
fn errors() {
    let strict = MimeOptions { strict_headers: true, strict_body: true, strict_domain: true, ..PLAIN };
    for (content, want) in [
        ("A: é||x|", "X[EightBitHeader A: é]P[A: é]EB[|x|]"),
        ("A: b||é|", "P[A: b]EB[|]X[EightBitBody é]B[é|]"),
        ("Content-Transfer-Encoding: 8bit||é|", "P[Content-Transfer-Encoding: 8bit]EB[|é|]"),
        ("Content-Transfer-Encoding: base64||é|", "P[Content-Transfer-Encoding: base64]EB[|é|]"),
        (
            "Content-Type: message/rfc822|Content-Transfer-Encoding: base64|",
            "P[Content-Type: message/rfc822]P[Content-Transfer-Encoding: base64]X[EncodingDomain base64]E",
        ),
        (
            "Content-Type: message/partial|Content-Transfer-Encoding: 8bit|",
            "P[Content-Type: message/partial]P[Content-Transfer-Encoding: 8bit]X[EncodingDomain 8bit]E",
        ),
    ] {
        assert_eq!(events(strict, content), want, "{content}");
    }
}

/// With a limit of 1, Postfix refuses the fourth level.
#[test]
fn nesting() {
    let options = MimeOptions { nesting: 1, ..PLAIN };
    let level = |n: u32| format!("Content-Type: multipart/x; boundary=b{n}||--b{n}|");
    let content: String = (0..3).map(level).collect();
    assert!(!events(options, &content).contains("X["));
    let content: String = (0..4).map(level).collect();
    assert!(events(options, &content).contains("X[Nesting Content-Type: multipart/x; boundary=b3]"));
}

#[test]
fn conversion() {
    let convert = MimeOptions { convert: true, ..PLAIN };
    for (content, want) in [
        (
            "A: b|Content-Transfer-Encoding: 8bit|C: d||é=|",
            "P[A: b]P[C: d]P[Content-Transfer-Encoding: quoted-printable]EB[|=C3=A9=3D|]",
        ),
        ("Content-Transfer-Encoding: 8bit|", "P[Content-Transfer-Encoding: quoted-printable]E"),
        ("Content-Transfer-Encoding: 7bit||é|", "P[Content-Transfer-Encoding: 7bit]EB[|é|]"),
        (
            "Content-Type: multipart/x; boundary=b|Content-Transfer-Encoding: 8bit||é|--b|Content-Transfer-Encoding: binary||é|--b--|é|",
            "P[Content-Type: multipart/x; boundary=b]P[Content-Transfer-Encoding: 7bit]EB[|é|--b|]\
             M[Content-Transfer-Encoding: quoted-printable]B[|=C3=A9|--b--|é|]",
        ),
        (
            "Content-Type: message/partial|Content-Transfer-Encoding: 8bit||é|",
            "P[Content-Type: message/partial]P[Content-Transfer-Encoding: 7bit]EB[|=C3=A9|]",
        ),
    ] {
        assert_eq!(events(convert, content), want, "{content}");
    }
}

proptest::proptest! {
    #[test]
    fn however_it_is_cut(
        lines in proptest::collection::vec(
            "Content-Type: (multipart/[xd]; boundary=[ab]{1,2}|message/rfc822|text/plain)|Content-Transfer-Encoding: (8bit|base64)|A: é?|--[ab]{0,3}(--|)|é?=?|-| x|",
            0..20,
        ),
        size in 1usize..20,
        convert: bool,
        by_line: bool,
    ) {
        let pieces = if by_line { Pieces::Lines } else { Pieces::Any };
        let options = MimeOptions { convert, pieces, strict_domain: true, nesting: 2, ..PLAIN };
        let content = lines.join("\r\n");
        assert_eq!(run(options, content.as_bytes(), size), run(options, content.as_bytes(), usize::MAX));
    }

    #[test]
    fn nothing_is_lost(content: Vec<u8>, size in 1usize..20) {
        struct All(Vec<u8>, bool);
        impl MimeSink for All {
            fn header(&mut self, _: Section, header: Header<'_>) {
                self.0.extend_from_slice(header.raw());
            }
            fn end_of_headers(&mut self, _: bool) {}
            fn body(&mut self, text: &[u8], _: u64) {
                self.0.extend_from_slice(text);
            }
            fn error(&mut self, _: MimeError, _: &[u8]) {
                self.1 = true;
            }
        }
        let mut content: Vec<u8> = content.into_iter().filter(|b| *b != b'\r').collect();
        content = content.split(|b| *b == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
        content.extend_from_slice(b"\r\n");
        let limits = Limits { header_size: 10_000, line_length: 10_000 };
        let mut stream = MimeStream::new(MimeOptions { limits, ..PLAIN });
        let mut all = All(Vec::new(), false);
        content.chunks(size).for_each(|chunk| stream.push(chunk, &mut all));
        stream.finish(&mut all);
        assert_eq!(all.0, content);
    }
}
