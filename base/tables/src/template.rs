//! The result text of a regexp or pcre rule: `$1 ${1} $(1) $$`. regexp_table(5), pcre_table(5).

/// A result, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    /// The highest group used.
    pub highest: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Group(usize),
}

/// What is wrong with a result; each becomes a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A warning without file and line.
    Plain(String),
    /// A warning with file and line.
    AtLine(String),
}

impl Template {
    /// Reads a result text.
    pub fn parse(text: &[u8]) -> Result<Template, Vec<Fault>> {
        let mut template = Template { parts: Vec::new(), highest: 0 };
        let mut faults = Vec::new();
        let mut rest = text;
        while let Some(dollar) = memchr::memchr(b'$', rest) {
            template.text(rest.get(..dollar).unwrap_or_default());
            rest = rest.get(dollar + 1..).unwrap_or_default();
            rest = template.after_dollar(rest, text, &mut faults);
        }
        template.text(rest);
        if faults.is_empty() { Ok(template) } else { Err(faults) }
    }

    fn text(&mut self, text: &[u8]) {
        match self.parts.last_mut() {
            _ if text.is_empty() => (),
            Some(Part::Text(last)) => last.extend_from_slice(text),
            _ => self.parts.push(Part::Text(text.to_vec())),
        }
    }

    /// Handles what follows a `$`; gives what is left behind it.
    fn after_dollar<'a>(&mut self, rest: &'a [u8], whole: &[u8], faults: &mut Vec<Fault>) -> &'a [u8] {
        let lossy = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let (name, left) = match rest.first() {
            Some(b'$') => {
                self.text(b"$");
                return rest.get(1..).unwrap_or_default();
            }
            Some(open @ (b'{' | b'(')) => {
                let close = if *open == b'{' { b'}' } else { b')' };
                let Some(end) = closing(rest, *open, close) else {
                    faults.push(Fault::Plain(format!("truncated macro reference: \"{}\"", lossy(whole))));
                    return &[];
                };
                (rest.get(1..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default())
            }
            _ => {
                let end =
                    rest.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_').unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        if name.is_empty() {
            faults.push(Fault::Plain(format!("empty macro name: \"{}\"", lossy(whole))));
            return &[];
        }
        let number = std::str::from_utf8(name).ok().filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
        match number.map(str::parse::<usize>) {
            None => faults.push(Fault::AtLine(format!("non-numeric replacement index \"{}\"", lossy(name)))),
            Some(Ok(n)) if (1..=9_999).contains(&n) => {
                self.highest = self.highest.max(n);
                self.parts.push(Part::Group(n));
            }
            Some(_) => {
                faults.push(Fault::AtLine(format!("out-of-range replacement index \"{}\"", lossy(name))));
            }
        }
        left
    }

    /// The text when there are no groups in it.
    pub fn fixed(&self) -> Option<&[u8]> {
        match self.parts.as_slice() {
            [] => Some(b""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with groups filled in.
    pub fn expand<'a>(&self, group: impl Fn(usize) -> Option<&'a [u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Group(n) => out.extend_from_slice(group(*n).unwrap_or_default()),
            }
        }
        out
    }
}

/// Where the bracket at the start of `text` is closed.
fn closing(text: &[u8], open: u8, close: u8) -> Option<usize> {
    let mut level = 0usize;
    for (at, byte) in text.iter().enumerate() {
        if *byte == open {
            level += 1;
        } else if *byte == close {
            level -= 1;
        }
        if level == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands() {
        let groups: [&[u8]; 3] = [b"all", b"one", b"two"];
        let cases = [
            ("A-$1-${1}-$(2)-$$-end", "A-one-one-two-$-end"),
            ("$2$1", "twoone"),
            ("w${1}x", "wonex"),
            ("plain", "plain"),
            ("", ""),
            ("<$3>", "<>"),
        ];
        for (text, want) in cases {
            let template = Template::parse(text.as_bytes()).unwrap();
            assert_eq!(template.expand(|n| groups.get(n).copied()), want.as_bytes(), "{text}");
        }
    }

    #[test]
    fn faults() {
        use Fault::{AtLine, Plain};
        let cases = [
            ("p$", vec![Plain("empty macro name: \"p$\"".into())]),
            ("v${1x", vec![Plain("truncated macro reference: \"v${1x\"".into())]),
            ("t$0", vec![AtLine("out-of-range replacement index \"0\"".into())]),
            (
                "dollar $x and $ end",
                vec![
                    AtLine("non-numeric replacement index \"x\"".into()),
                    Plain("empty macro name: \"dollar $x and $ end\"".into()),
                ],
            ),
        ];
        for (text, want) in cases {
            assert_eq!(Template::parse(text.as_bytes()).unwrap_err(), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text: Vec<u8>) {
            let _ = Template::parse(&text);
        }
    }
}
