//! Check functions for arbitrary input: no panic, and splitting the input anywhere changes nothing.

use crate::{
    BareLf, BdatFramer, Command, DataFramer, Features, Piece, ReplyParser, Verb,
    command::{Words, is_foreign},
    data::Step,
};

/// Any line goes through the command parser and the reply parser.
pub fn check_command(input: &[u8]) {
    let mut replies = ReplyParser::new();
    for line in input.split(|&b| b == b'\n') {
        let _ = replies.line(line);
        let text = String::from_utf8_lossy(line);
        let verb = Verb::of(&text).map(|(v, _)| v);
        let parsed = Command::parse(&text);
        assert_eq!(verb.is_none(), parsed == Err(crate::command::Syntax::Empty));
        let words: Vec<&str> = Words(&text).collect();
        assert!(words.iter().map(|w| w.len()).sum::<usize>() <= text.len());
        is_foreign(&text);
        Features::parse(&[String::new(), text.into_owned()]);
    }
}

/// What came out, how much was used, and whether the end was seen.
type Run = (Vec<u8>, usize, bool);

fn run<'a>(parts: [&'a [u8]; 2], mut next: impl FnMut(&'a [u8]) -> Step<'a>) -> Run {
    let (mut out, mut used) = (Vec::new(), 0);
    for part in parts.into_iter().chain([b"".as_slice()]) {
        let mut at = 0;
        loop {
            let step = next(part.get(at..).unwrap_or_default());
            at += step.used;
            used += step.used;
            match step.piece {
                Some(Piece::Content(c)) => out.extend_from_slice(c),
                Some(Piece::End) => return (out, used, true),
                None if at >= part.len() => break,
                None => {}
            }
        }
    }
    (out, used, false)
}

fn check_splits(input: &[u8], run_at: impl Fn([&[u8]; 2]) -> Run) -> Run {
    let whole = run_at([input, b""]);
    for cut in 0..input.len().min(200) {
        let (a, b) = input.split_at(cut);
        assert_eq!(run_at([a, b]), whole, "cut at {cut}");
    }
    whole
}

/// The DATA framer under every rule.
pub fn check_data(input: &[u8]) {
    for rule in [BareLf::Allow, BareLf::Normalize, BareLf::Reject] {
        let (out, used, end) = check_splits(input, |parts| {
            let mut f = DataFramer::new(rule);
            run(parts, move |b| f.next(b))
        });
        assert!(used <= input.len());
        if end {
            assert!(out.is_empty() || out.ends_with(b"\r\n"));
        }
        assert!(memchr::memchr_iter(b'\n', &out).all(|i| i > 0 && out.get(i - 1) == Some(&b'\r')));
    }
}

/// The BDAT framer, with the whole input as one chunk and as two.
pub fn check_bdat(input: &[u8]) {
    let finished = |parts: [&[u8]; 2], chunks: bool| {
        let mut f = BdatFramer::new(BareLf::Normalize);
        let mut out = Vec::new();
        let groups: Vec<[&[u8]; 2]> =
            if chunks { vec![[parts[0], b""], [parts[1], b""]] } else { vec![parts] };
        for g in groups {
            f.chunk((g[0].len() + g[1].len()) as u64);
            let (content, used, end) = run(g, |b| f.next(b));
            assert!(end && used == g[0].len() + g[1].len());
            out.extend_from_slice(&content);
        }
        out.extend_from_slice(f.finish());
        (out, input.len(), true)
    };
    let whole = check_splits(input, |parts| finished(parts, false));
    let chunked = check_splits(input, |parts| finished(parts, true));
    assert_eq!(whole, chunked);
    assert!(whole.0.is_empty() || whole.0.ends_with(b"\r\n"));
}
