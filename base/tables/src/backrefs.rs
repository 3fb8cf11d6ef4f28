//! `(a)\1` in regexp: tables: POSIX extended patterns with back references, written for the bounded engine.
//!
//! regexec(3) may take forever over such a pattern, so PCRE matches it, with its limit on steps. It finds a match where
//! there is one; which of several ways the groups took is Perl's choice, not POSIX's. Other patterns, and forms that mean
//! something else in Perl's syntax, are left alone.

/// The pattern in Perl's syntax; `None` without a back reference, or when it cannot be said there.
pub fn to_perl(pattern: &[u8], newline: bool) -> Option<String> {
    let mut writer = Writer { rest: pattern, out: String::new(), newline, atom: false, found: false };
    writer.run()?;
    writer.found.then_some(writer.out)
}

struct Writer<'a> {
    rest: &'a [u8],
    out: String,
    /// `.` and `[^…]` do not match a newline.
    newline: bool,
    /// Something that may be repeated stands before.
    atom: bool,
    found: bool,
}

impl Writer<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn put(&mut self, text: &str, atom: bool) {
        self.out.push_str(text);
        self.atom = atom;
    }

    fn run(&mut self) -> Option<()> {
        while let Some(byte) = self.next() {
            match byte {
                b'\\' => self.escape()?,
                b'[' => self.class()?,
                b'(' if matches!(self.rest.first(), Some(b'?' | b'*' | b'+' | b'{')) => return None,
                b'(' => self.put("(", false),
                b')' => self.put(")", true),
                b'|' => self.put("|", false),
                b'^' => self.put("^", false),
                b'$' if self.newline => self.put("$", false),
                b'$' => self.put(r"\z", false),
                b'.' => self.put(".", true),
                b'*' => self.repeat("*")?,
                b'+' => self.repeat("+")?,
                b'?' => self.repeat("?")?,
                b'{' => self.interval()?,
                byte => self.literal(byte),
            }
        }
        Some(())
    }

    fn literal(&mut self, byte: u8) {
        match byte {
            b if b.is_ascii_alphanumeric() || b == b' ' => {
                self.put(char::from(b).encode_utf8(&mut [0; 4]), true)
            }
            b => self.put(&format!("\\x{b:02x}"), true),
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            digit @ b'1'..=b'9' => {
                self.found = true;
                self.put(&format!("\\g{{{}}}", char::from(digit)), true);
            }
            letter @ (b'w' | b'W' | b's' | b'S') => self.put(&format!("\\{}", char::from(letter)), true),
            letter @ (b'b' | b'B') => self.put(&format!("\\{}", char::from(letter)), false),
            b'<' => self.put(r"\b(?=\w)", false),
            b'>' => self.put(r"\b(?<=\w)", false),
            b'`' => self.put(r"\A", false),
            b'\'' => self.put(r"\z", false),
            byte => self.literal(byte),
        }
        Some(())
    }

    fn class(&mut self) -> Option<()> {
        let mut class = String::from("[");
        if self.rest.first() == Some(&b'^') {
            self.next();
            class.push_str(if self.newline { "^\\n" } else { "^" });
        }
        let mut first = true;
        loop {
            match self.next()? {
                b']' if !first => break,
                b'[' => match self.rest.first() {
                    Some(b':') => {
                        let end = self.rest.windows(2).position(|w| w == b":]")?;
                        class.push('[');
                        class.push_str(std::str::from_utf8(self.rest.get(..end + 2)?).ok()?);
                        self.rest = self.rest.get(end + 2..)?;
                    }
                    Some(b'.' | b'=') => return None,
                    _ => class.push_str(r"\x5b"),
                },
                // Between two characters a range, else itself.
                b'-' if !first && self.rest.first() != Some(&b']') => class.push('-'),
                byte => class.push_str(&format!("\\x{byte:02x}")),
            }
            first = false;
        }
        class.push(']');
        self.put(&class, true);
        Some(())
    }

    /// Twice repeated is lazy or possessive in Perl.
    fn repeat(&mut self, operator: &str) -> Option<()> {
        let twice = matches!(self.rest.first(), Some(b'*' | b'+' | b'?' | b'{'));
        if !self.atom || twice {
            return None;
        }
        self.put(operator, false);
        Some(())
    }

    fn interval(&mut self) -> Option<()> {
        let end = memchr::memchr(b'}', self.rest)?;
        let text = std::str::from_utf8(self.rest.get(..end)?).ok()?;
        let (least, most) = text.split_once(',').unwrap_or((text, text));
        let number = |digits: &str| digits.is_empty() || digits.parse::<u16>().is_ok_and(|n| n < 256);
        if !number(least) || !number(most) || text.is_empty() {
            return None;
        }
        let least = if least.is_empty() { "0" } else { least };
        let operator =
            if text.contains(',') { format!("{{{least},{most}}}") } else { format!("{{{least}}}") };
        self.rest = self.rest.get(end + 1..)?;
        self.repeat(&operator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Engine;
    use crate::types::regexp::Posix;
    use base_sys::regex::PosixRegex;
    use std::time::{Duration, Instant};

    /// Both engines find a match, or both find none.
    fn agree(pattern: &str, key: &str) {
        let flags = Posix::default_flags();
        let Ok(theirs) = PosixRegex::compile(pattern.as_bytes(), flags) else { return };
        let ours = Posix::compile(pattern.as_bytes(), flags).unwrap();
        assert_eq!(ours.is_match(key.as_bytes()), theirs.is_match(key.as_bytes()), "{pattern:?} {key:?}");
    }

    #[test]
    fn same_matches() {
        for pattern in [
            r"(a)\1",
            r"^(.+)\1$",
            r"(a|b)c\1",
            r"^([^x])\1",
            r"(a*)b\1",
            r"([[:alpha:]])-\1",
            r"\<(a).*\1\>",
            r"(a){2}\1",
            r"(.)\1{2}",
            r"^(a+)\1+$",
            r"([]a])\1",
            r"(a)(b)\2\1",
            r"x(\.)\1",
            r"(a)\1$",
        ] {
            for key in [
                "", "aa", "AA", "abab", "aca", "acb", "bb", "aba", "a-a", "a b a", "aaa", "aaaa", "]]",
                "abba", "x..", "\n\n", "aa\n",
            ] {
                agree(pattern, key);
            }
        }
        assert!(to_perl(b"(a)", false).is_none());
        assert!(to_perl(br"(a)\1**", false).is_none());
    }

    #[test]
    fn a_bomb_is_an_error_in_a_moment() {
        let bomb = Posix::compile(br"^(a+)+\1(b|c)$", Posix::default_flags()).unwrap();
        let start = Instant::now();
        assert!(bomb.is_match(&[b'a'; 2000]).is_err());
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_posix(pattern in r"\((a|b|\.|\[ab\]|ab?)\)(a|b|\.|\*|\?|\|)?\\1[ab$]?", key in "[abc]{0,7}") {
            agree(&pattern, &key);
        }
    }
}
