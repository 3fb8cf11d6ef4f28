//! DATA framing: line ends, dots, splits at every byte.

use super::*;
use BareLf::{Allow, Normalize, Reject};

/// Content and what was left of the input, with the input split at `cuts`.
fn run(rule: BareLf, wire: &[u8], cut: usize) -> Option<(Vec<u8>, usize, bool)> {
    let mut f = DataFramer::new(rule);
    let mut out = Vec::new();
    let (a, b) = wire.split_at(cut);
    let mut used = 0;
    for part in [a, b, b""] {
        let mut at = 0;
        loop {
            let s = f.next(&part[at..]);
            at += s.used;
            used += s.used;
            match s.piece {
                Some(Piece::Content(c)) => out.extend_from_slice(c),
                Some(Piece::End) => return Some((out, used, f.bare_lf())),
                None if at == part.len() => break,
                None => {}
            }
        }
    }
    None
}

#[test]
fn table() {
    /// Wire form, rules, content, what is left.
    type Case = (&'static [u8], &'static [BareLf], &'static [u8], &'static [u8]);
    let cases: &[Case] = &[
        (b".\r\n", &[Allow, Normalize, Reject], b"", b""),
        (b"a\r\n.\r\nNOOP\r\n", &[Allow, Normalize, Reject], b"a\r\n", b"NOOP\r\n"),
        (b"..\r\n...x\r\n.y\r\n.\r\n", &[Allow, Normalize], b".\r\n..x\r\ny\r\n", b""),
        (b"a\nb\n.\nrest", &[Allow], b"a\r\nb\r\n", b"rest"),
        (b"a\n.\nb\r\n.\r\nrest", &[Normalize, Reject], b"a\r\nb\r\n", b"rest"),
        (b"a\n.\r\nb\r\n.\r\nrest", &[Normalize], b"a\r\nb\r\n", b"rest"),
        (b"a\r\n.\nb\r\n.\r\nrest", &[Normalize], b"a\r\nb\r\n", b"rest"),
        (b"a\r\n.\nb\r\n.\r\nrest", &[Allow], b"a\r\n", b"b\r\n.\r\nrest"),
        (b"a\r\r\n.\r\n", &[Allow], b"a\r\n", b""),
        (b"a\r\r\n.\r\n", &[Normalize], b"a\r\r\n", b""),
        (b".\r\r\n.\r\n", &[Normalize], b"\r\r\n", b""),
        (b".\r\r\nx", &[Allow], b"", b"x"),
        (b"a\rb\r\n.\rz\r\n.\r\n", &[Allow, Normalize], b"a\rb\r\n\rz\r\n", b""),
        (b"\r\n\n\r\n.\r\n", &[Allow, Normalize], b"\r\n\r\n\r\n", b""),
        (b"nul\0nul\r\n.\r\n", &[Allow, Normalize], b"nul\0nul\r\n", b""),
    ];
    for (wire, rules, content, rest) in cases {
        for &rule in *rules {
            for cut in 0..=wire.len() {
                let (out, used, _) = run(rule, wire, cut).expect("ends");
                assert_eq!(out, *content, "{rule:?} {:?} cut {cut}", String::from_utf8_lossy(wire));
                assert_eq!(&wire[used..], *rest, "{rule:?} {:?}", String::from_utf8_lossy(wire));
            }
        }
    }
}

#[test]
fn bare_lf_is_noticed() {
    for (wire, want) in [(b"a\r\n.\r\n".as_slice(), false), (b"a\nb\r\n.\r\n", true), (b"\n\r\n.\r\n", true)]
    {
        for cut in 0..=wire.len() {
            assert_eq!(run(Reject, wire, cut).expect("ends").2, want);
        }
    }
}

#[test]
fn a_clean_body_comes_out_in_one_piece() {
    let body = b"Subject: x\r\n\r\nsome text without dots\r\n".repeat(100);
    let mut f = DataFramer::new(Normalize);
    let s = f.next(&body);
    assert_eq!(s, Step { used: body.len(), piece: Some(Piece::Content(&body)) });
}

#[test]
fn stuffing_is_the_inverse() {
    for content in [b"".as_slice(), b".\r\n", b"a\r\n..b\r\n.\r\n", b"a\r\n\r\n", b"...\r\nx.y\r\n"] {
        for cut in 0..=content.len() {
            let mut s = DotStuffer::new();
            let mut wire = Vec::new();
            let (a, b) = content.split_at(cut);
            s.push(a, |p| wire.extend_from_slice(p));
            s.push(b, |p| wire.extend_from_slice(p));
            wire.extend_from_slice(s.finish());
            assert_eq!(run(Normalize, &wire, 0).expect("ends").0, content);
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_split_gives_the_same(wire in proptest::collection::vec(proptest::sample::select(b".\r\na".to_vec()), 0..40)) {
        crate::fuzz::check_data(&wire);
        crate::fuzz::check_bdat(&wire);
    }
}
