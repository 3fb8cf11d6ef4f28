//! Patterns so plain that no engine is needed: `^user1@.*\.example$`.
//!
//! Most rules of a large table are literal text with dots, repetitions of single characters, simple classes and anchors at the ends.
//! Such a pattern means the same in POSIX extended and Perl syntax, has no groups, and fits into the bits of a number, one for
//! each character: a key is matched in one pass, in time that depends on its length alone (Baeza-Yates and Gonnet, "A new
//! approach to text searching"). [`crate::rules`] gives everything else to its engine. A table of ten thousand plain rules is ready at once,
//! since a rule's bits are only made when a key first needs them.

use std::sync::OnceLock;

/// The most characters of a pattern: one bit each, and one for the end.
const MOST: usize = 63;
/// The longest pattern, in bytes.
const LONGEST: usize = 500;

/// What the flags of a pattern mean for a plain one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// Case does not count.
    pub ignore_case: bool,
    /// `$` also matches before a newline at the end.
    pub before_newline: bool,
}

/// A plain pattern.
pub struct Plain {
    pattern: Box<[u8]>,
    meaning: Meaning,
    bits: OnceLock<Option<Box<Bits>>>,
}

impl Plain {
    /// The pattern and the texts that every match contains, in order, as written; `None` when it is not plain.
    pub fn new(pattern: &[u8], meaning: Meaning) -> Option<(Plain, Vec<Vec<u8>>)> {
        let parsed = parse(pattern)?;
        let texts = texts(&parsed.items);
        Some((Plain { pattern: pattern.into(), meaning, bits: OnceLock::new() }, texts))
    }

    /// Does it match anywhere in `key`?
    pub fn is_match(&self, key: &[u8]) -> bool {
        let make = || Some(Box::new(Bits::new(&parse(&self.pattern)?, self.meaning)));
        self.bits.get_or_init(make).as_ref().is_some_and(|bits| bits.is_match(key))
    }
}

#[derive(Clone, Copy)]
enum Set<'a> {
    Byte(u8),
    Any,
    /// What stands between the brackets.
    Class(&'a [u8]),
}

#[derive(Clone, Copy)]
struct Item<'a> {
    set: Set<'a>,
    /// May be absent.
    optional: bool,
    /// May come again.
    repeats: bool,
}

struct Parsed<'a> {
    from_start: bool,
    to_end: bool,
    items: Vec<Item<'a>>,
}

fn parse(pattern: &[u8]) -> Option<Parsed<'_>> {
    if pattern.len() > LONGEST {
        return None;
    }
    let mut rest = pattern.strip_prefix(b"^").unwrap_or(pattern);
    let mut parsed =
        Parsed { from_start: rest.len() < pattern.len(), to_end: false, items: Vec::with_capacity(24) };
    let mut repeatable = false;
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        let set = match first {
            b'(' | b')' | b'|' | b'{' | b'}' | b'^' | 0 => return None,
            b'$' if rest.is_empty() => {
                parsed.to_end = true;
                break;
            }
            b'$' => return None,
            b'*' | b'+' | b'?' => {
                // Twice repeated, lazy, possessive: not the same in both syntaxes.
                let last = parsed.items.last_mut().filter(|_| repeatable)?;
                last.optional = *first != b'+';
                last.repeats = *first != b'?';
                repeatable = false;
                continue;
            }
            b'\\' => {
                let (escaped, more) = rest.split_first()?;
                // glibc: \< \> \` \' are anchors.
                if !escaped.is_ascii_punctuation() || b"<>`'".contains(escaped) {
                    return None;
                }
                rest = more;
                Set::Byte(*escaped)
            }
            b'.' => Set::Any,
            b'[' => {
                let (class, more) = class(rest)?;
                rest = more;
                Set::Class(class)
            }
            byte => Set::Byte(*byte),
        };
        parsed.items.push(Item { set, optional: false, repeats: false });
        repeatable = true;
    }
    (parsed.items.len() <= MOST).then_some(parsed)
}

/// A class of plain characters and ascending ranges of letters or digits, and what follows it.
fn class(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = usize::from(text.first() == Some(&b'^'));
    let end = memchr::memchr(b']', text).filter(|end| *end > start)?;
    let class = text.get(..end)?;
    ranges(class.get(start..)?).all(|range| range.is_some()).then_some((class, text.get(end + 1..)?))
}

/// The ranges of a class (single characters too); `None` for what is not plain.
fn ranges(mut inside: &[u8]) -> impl Iterator<Item = Option<(u8, u8)>> {
    std::iter::from_fn(move || {
        let (first, more) = inside.split_first()?;
        let (last, more, good) = match more {
            [b'-', last, more @ ..] => (last, more, is_range(*first, *last)),
            _ => (first, more, true),
        };
        inside = more;
        Some((good && !matches!(first, b'[' | b'\\' | 0) && first.is_ascii()).then_some((*first, *last)))
    })
}

fn is_range(first: u8, last: u8) -> bool {
    let same = |is: fn(&u8) -> bool| is(&first) && is(&last);
    first <= last
        && (same(u8::is_ascii_digit) || same(u8::is_ascii_lowercase) || same(u8::is_ascii_uppercase))
}

fn texts(items: &[Item<'_>]) -> Vec<Vec<u8>> {
    let (mut texts, mut run) = (Vec::new(), Vec::new());
    for item in items {
        match item.set {
            Set::Byte(byte) if !item.optional => {
                run.push(byte);
                if !item.repeats {
                    continue;
                }
            }
            _ => (),
        }
        if !run.is_empty() {
            texts.push(std::mem::take(&mut run));
        }
    }
    if !run.is_empty() {
        texts.push(run);
    }
    texts
}

/// A pattern as numbers: bit n stands for the item n, the bit behind the last one for the end.
struct Bits {
    /// For each byte the items that it may be.
    may_be: [u64; 256],
    optional: u64,
    repeats: u64,
    end: u64,
    from_start: bool,
    to_end: bool,
    before_newline: bool,
}

impl Bits {
    fn new(parsed: &Parsed<'_>, meaning: Meaning) -> Bits {
        let mut bits = Bits {
            may_be: [0; 256],
            optional: 0,
            repeats: 0,
            end: 1,
            from_start: parsed.from_start,
            to_end: parsed.to_end,
            before_newline: meaning.before_newline,
        };
        for item in &parsed.items {
            let bit = bits.end;
            bits.optional |= if item.optional { bit } else { 0 };
            bits.repeats |= if item.repeats { bit } else { 0 };
            bits.end = bit << 1;
            match item.set {
                Set::Byte(own) => {
                    let (lower, upper) = (own.to_ascii_lowercase(), own.to_ascii_uppercase());
                    let forms = if meaning.ignore_case { [lower, upper] } else { [own, own] };
                    forms.into_iter().for_each(|byte| bits.add(byte, bit));
                }
                Set::Any => bits.may_be.iter_mut().for_each(|may_be| *may_be |= bit),
                Set::Class(class) => {
                    let has = |byte: &u8| class_has(class, *byte, meaning.ignore_case);
                    (0..=u8::MAX).filter(has).for_each(|byte| bits.add(byte, bit));
                }
            }
        }
        bits
    }

    fn add(&mut self, byte: u8, bit: u64) {
        if let Some(may_be) = self.may_be.get_mut(usize::from(byte)) {
            *may_be |= bit;
        }
    }

    fn is_match(&self, key: &[u8]) -> bool {
        let start = self.with_optional(1);
        let mut next = start;
        for (at, byte) in key.iter().enumerate() {
            if self.ends(next, key.get(at..).unwrap_or_default()) {
                return true;
            }
            let here = next & self.may_be.get(usize::from(*byte)).copied().unwrap_or(0);
            next = self.with_optional((here << 1) | (here & self.repeats));
            if !self.from_start {
                next |= start;
            }
        }
        self.ends(next, b"")
    }

    /// Whether a match may end here, with `rest` left.
    fn ends(&self, next: u64, rest: &[u8]) -> bool {
        next & self.end != 0 && (!self.to_end || rest.is_empty() || (self.before_newline && rest == b"\n"))
    }

    /// With the items behind those that may be absent.
    fn with_optional(&self, mut next: u64) -> u64 {
        loop {
            let more = next | ((next & self.optional) << 1);
            if more == next {
                return next;
            }
            next = more;
        }
    }
}

fn class_has(class: &[u8], byte: u8, ignore_case: bool) -> bool {
    let inside = class.strip_prefix(b"^").unwrap_or(class);
    let has = |b: u8| ranges(inside).flatten().any(|(first, last)| (first..=last).contains(&b));
    let folded = ignore_case && (has(byte.to_ascii_lowercase()) || has(byte.to_ascii_uppercase()));
    (has(byte) || folded) != (inside.len() < class.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Engine;
    use crate::types::pcre::Pcre;
    use crate::types::regexp::Posix;

    const POSIX: Meaning = Meaning { ignore_case: true, before_newline: false };

    #[test]
    fn texts_of_patterns() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            (r"^user1@.*\.example$", Some(&["user1@", ".example"])),
            ("abc*d", Some(&["ab", "d"])),
            ("abc+d", Some(&["abc", "d"])),
            ("^[a-z0-9_-]+@x", Some(&["@x"])),
            ("[^-a]?b", Some(&["b"])),
            ("^Subject:.*free", Some(&["Subject:", "free"])),
            (r"\$\$\$", Some(&["$$$"])),
            ("", Some(&[])),
            ("$$$", None),
            ("a^b", None),
            ("a|b", None),
            ("(a)", None),
            ("a{2}", None),
            ("a**", None),
            ("*a", None),
            ("^*a", None),
            ("a+?", None),
            (r"\d", None),
            (r"a\", None),
            (r"\<a", None),
            ("[z-a]", None),
            ("[a", None),
            ("[]a]", None),
            ("[^]a]", None),
            ("[[:alpha:]]", None),
            ("[+--]", None),
        ];
        for (pattern, want) in cases {
            let got = Plain::new(pattern.as_bytes(), POSIX).map(|(_, texts)| texts);
            let want = want.map(|w| w.iter().map(|t| t.as_bytes().to_vec()).collect::<Vec<_>>());
            assert_eq!(got, want, "{pattern}");
        }
        assert!(
            Plain::new("a".repeat(MOST).as_bytes(), POSIX).unwrap().0.is_match("a".repeat(70).as_bytes())
        );
        assert!(Plain::new("a".repeat(MOST + 1).as_bytes(), POSIX).is_none());
    }

    /// Both engines and the bits say the same.
    fn agree(pattern: &str, key: &str) {
        let [posix, perl] = [false, true].map(|before_newline| {
            Plain::new(pattern.as_bytes(), Meaning { ignore_case: true, before_newline })
                .map(|(plain, _)| plain)
        });
        let (Some(posix), Some(perl)) = (posix, perl) else { return };
        let engine = Posix::compile(pattern.as_bytes(), Posix::default_flags()).unwrap();
        assert_eq!(
            engine.is_match(key.as_bytes()),
            Ok(posix.is_match(key.as_bytes())),
            "{pattern:?} {key:?}"
        );
        let engine = Pcre::compile(pattern.as_bytes(), Pcre::default_flags()).unwrap();
        assert_eq!(engine.is_match(key.as_bytes()), Ok(perl.is_match(key.as_bytes())), "{pattern:?} {key:?}");
    }

    #[test]
    fn matches() {
        for pattern in [
            "^a.*b$", "a?b?c", "^a+$", "[^a-c]x", "a*", "^$", "x.y", r"a\.b", "A[b]", "日本", ".*.*.*x",
            "\u{e9}",
        ] {
            for key in [
                "",
                "a",
                "ab",
                "aab",
                "b",
                "a\nb",
                "c",
                "dX",
                "ax",
                "xzy",
                "x\ny",
                "a.b",
                "aBc",
                "ab\n",
                "\n",
                "日本語",
                "É",
            ] {
                agree(pattern, key);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_engines(
            pattern in r"[\^a-cA\.\*\+\?\[\]\$\\:,@1é-]{0,10}",
            key in "[a-cB1:@,.$\n-]{0,8}",
        ) {
            agree(&pattern, &key);
        }
    }
}
