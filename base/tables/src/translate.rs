//! Patterns of regexp: and pcre: tables in the syntax of the regex crate.
//!
//! The translation matches at least what the original does, so it may answer "no" in the original's place, never
//! "yes". What has no such translation (back references, look-around …) is left alone.

/// How the original is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// PCRE instead of POSIX extended.
    pub pcre: bool,
    /// Case does not count.
    pub ignore_case: bool,
    /// `^` and `$` also at line ends.
    pub multi_line: bool,
}

/// Translates a pattern, or gives up.
pub fn translate(pattern: &[u8], dialect: Dialect) -> Option<String> {
    let flags = match (dialect.ignore_case, dialect.multi_line) {
        (true, true) => "(?ims-u:",
        (true, false) => "(?is-u:",
        (false, true) => "(?ms-u:",
        (false, false) => "(?s-u:",
    };
    let mut t = Translator { rest: pattern, out: flags.to_owned(), dialect, atom: false };
    t.run()?;
    t.out.push(')');
    Some(t.out)
}

struct Translator<'a> {
    rest: &'a [u8],
    out: String,
    dialect: Dialect,
    /// Something that may be repeated stands before.
    atom: bool,
}

impl Translator<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn run(&mut self) -> Option<()> {
        while let Some(byte) = self.next() {
            match byte {
                b'\\' => self.escape()?,
                b'[' => self.bracket()?,
                b'(' => self.open_group()?,
                b')' => self.put(")", true),
                b'|' => self.put("|", false),
                b'*' | b'+' | b'?' => self.repeat(&[byte])?,
                b'{' => self.interval()?,
                b'.' => self.put(".", true),
                b'^' => self.put("^", false),
                // PCRE's $ also matches before a newline at the end.
                b'$' if self.dialect.pcre && !self.dialect.multi_line => self.put(r"(?:\n?\z)", false),
                b'$' => self.put("$", false),
                _ => self.literal(byte),
            }
        }
        Some(())
    }

    fn put(&mut self, text: &str, atom: bool) {
        self.out.push_str(text);
        self.atom = atom;
    }

    fn literal(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() || byte == b' ' || byte == b'_' {
            self.put(char::from(byte).encode_utf8(&mut [0; 4]), true);
        } else {
            self.put(&format!("\\x{byte:02x}"), true);
        }
    }

    fn open_group(&mut self) -> Option<()> {
        if self.rest.first() == Some(&b'?') {
            self.rest = self.rest.strip_prefix(b"?:").filter(|_| self.dialect.pcre)?;
        } else if self.dialect.pcre && self.rest.first() == Some(&b'*') {
            return None;
        }
        self.put("(?:", false);
        Some(())
    }

    fn escape(&mut self) -> Option<()> {
        let byte = self.next()?;
        match byte {
            b'w' | b'W' | b's' | b'S' => self.put(&format!("\\{}", char::from(byte)), true),
            b'd' | b'D' if self.dialect.pcre => self.put(&format!("\\{}", char::from(byte)), true),
            b't' | b'n' | b'r' if self.dialect.pcre => self.put(&format!("\\{}", char::from(byte)), true),
            b'b' | b'B' => self.put(&format!("\\{}", char::from(byte)), false),
            b if b.is_ascii_alphanumeric() || b == b'<' || b == b'>' || b == b'`' || b == b'\'' => {
                return None;
            }
            _ => self.literal(byte),
        }
        Some(())
    }

    fn repeat(&mut self, operator: &[u8]) -> Option<()> {
        if !self.atom {
            return None;
        }
        self.out.push_str(std::str::from_utf8(operator).ok()?);
        self.atom = false;
        // A lazy repetition matches the same texts; a possessive one does not, and POSIX means something else.
        match self.rest.first() {
            Some(b'?') if self.dialect.pcre => {
                self.rest = self.rest.get(1..)?;
            }
            Some(b'*' | b'+' | b'?' | b'{') => return None,
            _ => (),
        }
        Some(())
    }

    fn interval(&mut self) -> Option<()> {
        let end = memchr::memchr(b'}', self.rest)?;
        let (inside, rest) = (self.rest.get(..end)?, self.rest.get(end + 1..)?);
        let text = std::str::from_utf8(inside).ok()?;
        let (least, most) = text.split_once(',').unwrap_or((text, text));
        let number =
            |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u8>().ok())?;
        number(least)?;
        if !most.is_empty() {
            number(most)?;
        }
        self.rest = rest;
        self.repeat(format!("{{{text}}}").as_bytes())
    }

    fn bracket(&mut self) -> Option<()> {
        let mut class = String::from("[");
        if self.rest.first() == Some(&b'^') {
            self.next();
            class.push('^');
        }
        let mut first = true;
        loop {
            let byte = self.next()?;
            match byte {
                b']' if !first => break,
                b'[' => match self.rest.first() {
                    Some(b':') => {
                        let end = self.rest.windows(2).position(|w| w == b":]")?;
                        let name = std::str::from_utf8(self.rest.get(1..end)?).ok()?;
                        let known = [
                            "alnum", "alpha", "digit", "lower", "upper", "punct", "space", "xdigit", "blank",
                            "cntrl", "graph", "print",
                        ];
                        if !known.contains(&name) {
                            return None;
                        }
                        class.push_str(&format!("[:{name}:]"));
                        self.rest = self.rest.get(end + 2..)?;
                    }
                    Some(b'.' | b'=') => return None,
                    _ => class.push_str("\\x5b"),
                },
                b'\\' if self.dialect.pcre => {
                    let escaped = self.next()?;
                    match escaped {
                        b'd' | b'D' | b'w' | b'W' | b's' | b'S' | b't' | b'n' | b'r' => {
                            class.push('\\');
                            class.push(char::from(escaped));
                        }
                        b if b.is_ascii_alphanumeric() => return None,
                        b => class.push_str(&format!("\\x{b:02x}")),
                    }
                }
                // Between two characters a range, else itself.
                b'-' if !first && self.rest.first() != Some(&b']') => class.push('-'),
                b => class.push_str(&format!("\\x{b:02x}")),
            }
            first = false;
        }
        class.push(']');
        self.put(&class, true);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_sys::regex::{PosixRegex, RegexFlags};

    const POSIX: Dialect = Dialect { pcre: false, ignore_case: true, multi_line: false };

    fn never_misses(pattern: &str, subject: &[u8]) {
        let Some(translated) = translate(pattern.as_bytes(), POSIX) else { return };
        let Ok(ours) = regex::bytes::RegexBuilder::new(&translated).unicode(false).build() else { return };
        let flags = RegexFlags { extended: true, ignore_case: true, newline: false };
        let Ok(theirs) = PosixRegex::compile(pattern.as_bytes(), flags) else { return };
        if theirs.is_match(subject) == Ok(true) {
            assert!(ours.is_match(subject), "{pattern:?} as {translated:?} misses {subject:?}");
        }
    }

    #[test]
    fn translates_the_usual() {
        for pattern in [
            r"^user00001@.*\.example$",
            "^Subject:.*(money|cash)",
            "[[:alnum:]_.-]+@[^@]+$",
            "a{2,3}b",
            r"^\.+/x\?",
            "日本語",
            "(a|b)*c",
            "[]a]x",
            "[a-]x",
            "[^]]x",
        ] {
            assert!(translate(pattern.as_bytes(), POSIX).is_some(), "{pattern}");
        }
        for pattern in [r"(a)\1", "a**", "*a", r"\<x", "[[.a.]]", "a{,", "a+?"] {
            assert!(translate(pattern.as_bytes(), POSIX).is_none(), "{pattern}");
        }
        for pattern in ["(?!x)y", "a++", r"\Kx", "(?i)x"] {
            assert!(translate(pattern.as_bytes(), Dialect { pcre: true, ..POSIX }).is_none(), "{pattern}");
        }
    }

    #[test]
    fn known_subjects() {
        for (pattern, subject) in [
            ("[]a]x", "]x"),
            ("[a-]x", "-x"),
            ("[^]]x", "yx"),
            (r"a\.b", "A.B"),
            ("x$", "x"),
            (r"\d", "d"),
            ("a|b$", "cb"),
            ("()", ""),
            ("[a-c]$", "B"),
            (r"[\]x", r"\x"),
            ("^$", ""),
        ] {
            never_misses(pattern, subject.as_bytes());
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_posix(
            pattern in r"[\^a-cA\.\*\+\?\(\)\|\[\]\{\}1,\$\\:w-]{0,12}",
            subject in "[a-cA1w:. -]{0,8}",
        ) {
            never_misses(&pattern, subject.as_bytes());
        }
    }
}
