//! The policy delegation protocol (SMTPD_POLICY_README): a request is lines `name=value` and an empty line, and so is
//! the answer, of which only `action` counts.
//!
//! Bytes in, values out; who holds the socket bounds the length of a line.

/// The most lines of an answer, or of a request.
const MAX_LINES: usize = 200;

/// A request. What would break a line in a value becomes `?`.
pub fn request<'a>(attributes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    for (name, value) in attributes {
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend(value.bytes().map(|b| if b.is_ascii_control() { b'?' } else { b }));
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}

/// Lines that are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A line without `=`.
    NoValue,
    /// Too many lines.
    TooLong,
    /// The answer, or request, is over without what it is about.
    Empty,
}

/// Attributes, line by line: an answer as it comes in, or a request on the other side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(String, String)>);

impl Attributes {
    /// Takes in a line without its end. True: it was the last one.
    pub fn line(&mut self, line: &[u8]) -> Result<bool, Malformed> {
        if line.is_empty() {
            return if self.0.is_empty() { Err(Malformed::Empty) } else { Ok(true) };
        }
        if self.0.len() >= MAX_LINES {
            return Err(Malformed::TooLong);
        }
        let text = String::from_utf8_lossy(line);
        let (name, value) = text.split_once('=').ok_or(Malformed::NoValue)?;
        self.0.push((name.to_owned(), value.trim().to_owned()));
        Ok(false)
    }

    /// The value of an attribute; the last one counts.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<String>, Malformed> {
        let mut a = Attributes::default();
        for line in text.split('\n') {
            if a.line(line.as_bytes())? {
                break;
            }
        }
        Ok(a.get("action").map(str::to_owned))
    }

    #[test]
    fn answers() {
        assert_eq!(read("action=DUNNO\n\n"), Ok(Some("DUNNO".into())));
        assert_eq!(read("x=y\naction= 450 4.7.1 a=b\n\n"), Ok(Some("450 4.7.1 a=b".into())));
        assert_eq!(read("x=y\n\n"), Ok(None));
        assert_eq!(read("garbage\n\n"), Err(Malformed::NoValue));
        assert_eq!(read("\n"), Err(Malformed::Empty));
        assert_eq!(read(&"a=b\n".repeat(300)), Err(Malformed::TooLong));
    }

    #[test]
    fn requests() {
        let bytes = request([("request", "smtpd_access_policy"), ("sender", "a\nb=c")]);
        assert_eq!(bytes, b"request=smtpd_access_policy\nsender=a?b=c\n\n");
    }

    proptest::proptest! {
        #[test]
        fn a_request_reads_back(value in "[^\\x00-\\x1f\\x7f\u{80}-\u{9f}\\s]{0,40}") {
            let mut a = Attributes::default();
            for line in request([("x", value.as_str())]).split(|b| *b == b'\n') {
                if a.line(line).unwrap() {
                    break;
                }
            }
            proptest::prop_assert_eq!(a.get("x"), Some(value.as_str()));
        }
    }
}
