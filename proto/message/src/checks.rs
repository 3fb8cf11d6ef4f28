//! The actions of header and body checks: header_checks(5) ACTIONS.
//!
//! [`parse`] reads the result of a table. Used by cleanup for mail that comes in and by the SMTP client for mail that goes
//! out, which knows fewer actions. What is wrong with a result is told in Postfix's words.

/// What a result asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// One more recipient.
    Bcc(String),
    /// Claim success, keep nothing.
    Discard,
    /// Nothing.
    Dunno,
    /// `transport:destination`
    Filter(String),
    /// Keep it in the hold queue.
    Hold,
    /// Leave the line out.
    Ignore,
    /// Log it.
    Info,
    /// No more checks.
    Pass,
    /// A line in front.
    Prepend(Vec<u8>),
    /// Another recipient instead.
    Redirect(String),
    /// Refuse the message.
    Reject,
    /// Another line instead.
    Replace(Vec<u8>),
    /// Leave the line out and log it.
    Strip,
    /// Log it.
    Warn,
}

/// An action and the text behind its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What to do.
    pub action: Action,
    /// The word for the log: `reject`, `warning` …; empty for those that are not logged.
    pub word: &'static str,
    /// The text behind the name.
    pub text: Vec<u8>,
}

/// Where the table is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use<'a> {
    /// The parameter, for complaints.
    pub title: &'a str,
    /// A header is looked at: texts that stand instead of it must be headers.
    pub header: bool,
    /// The SMTP client asks.
    pub delivering: bool,
}

/// One action.
struct Record {
    name: &'static str,
    /// The word for the log.
    word: &'static str,
    /// The SMTP client knows it.
    delivering: bool,
    make: fn(&str, &[u8], Use<'_>) -> Result<Action, String>,
}

const fn plain(
    name: &'static str,
    word: &'static str,
    delivering: bool,
    make: fn(&str, &[u8], Use<'_>) -> Result<Action, String>,
) -> Record {
    Record { name, word, delivering, make }
}

/// Sorted by name.
const ACTIONS: &[Record] = &[
    plain("BCC", "bcc", false, |_, text, used| address(text, "BCC address", used).map(Action::Bcc)),
    plain("DISCARD", "discard", false, |_, _, _| Ok(Action::Discard)),
    plain("DUNNO", "", true, |_, _, _| Ok(Action::Dunno)),
    plain("FILTER", "filter", false, filter),
    plain("HOLD", "hold", false, |_, _, _| Ok(Action::Hold)),
    plain("IGNORE", "", true, |_, _, _| Ok(Action::Ignore)),
    plain("INFO", "info", true, |_, _, _| Ok(Action::Info)),
    plain("OK", "", true, |_, _, _| Ok(Action::Dunno)),
    plain("PASS", "pass", false, |_, _, _| Ok(Action::Pass)),
    plain("PREPEND", "prepend", true, |name, text, used| line(name, text, used).map(Action::Prepend)),
    plain("REDIRECT", "redirect", false, |_, text, used| {
        address(text, "REDIRECT target", used).map(Action::Redirect)
    }),
    plain("REJECT", "reject", false, |_, _, _| Ok(Action::Reject)),
    plain("REPLACE", "replace", true, |name, text, used| line(name, text, used).map(Action::Replace)),
    plain("STRIP", "strip", true, |_, _, _| Ok(Action::Strip)),
    plain("WARN", "warning", true, |_, _, _| Ok(Action::Warn)),
];

/// Reads a result; the error is the warning.
pub fn parse(result: &[u8], used: Use<'_>) -> Result<Command, String> {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let end = result.iter().position(blank).unwrap_or(result.len());
    let (name, text) = result.split_at(end);
    let text = text.get(text.iter().take_while(|b| blank(b)).count()..).unwrap_or_default();
    let upper = String::from_utf8_lossy(name).to_ascii_uppercase();
    let found = ACTIONS.binary_search_by(|record| record.name.cmp(&upper)).ok();
    let shown = || String::from_utf8_lossy(result).into_owned();
    let Some(record) =
        found.and_then(|at| ACTIONS.get(at)).filter(|record| record.delivering || !used.delivering)
    else {
        let what = if used.delivering { "unsupported" } else { "unknown" };
        return Err(format!("{what} command in {} map: {}", used.title, shown()));
    };
    let action = (record.make)(record.name, text, used)?;
    Ok(Command { action, word: record.word, text: text.to_vec() })
}

fn address(text: &[u8], what: &str, used: Use<'_>) -> Result<String, String> {
    let text = String::from_utf8_lossy(text).into_owned();
    match text.contains('@') {
        true => Ok(text),
        false => Err(format!("bad {what} \"{text}\" in {} map -- need user@domain", used.title)),
    }
}

fn filter(_: &str, text: &[u8], used: Use<'_>) -> Result<Action, String> {
    let text = String::from_utf8_lossy(text).into_owned();
    match () {
        () if text.is_empty() => Err(format!("missing FILTER command argument in {} map", used.title)),
        () if text.contains(':') => Ok(Action::Filter(text)),
        () => Err(format!("bad FILTER command {text} in {} -- need transport:destination", used.title)),
    }
}

/// The text of a line: a header where a header is looked at.
fn line(name: &str, text: &[u8], used: Use<'_>) -> Result<Vec<u8>, String> {
    if text.is_empty() {
        return Err(format!("{name} action without text in {} map", used.title));
    }
    if used.header && crate::Header::parse(text).is_none() {
        let text = String::from_utf8_lossy(text);
        let need = "need \"headername: headervalue\"";
        return Err(format!("bad {name} header text \"{text}\" in {} map -- {need}", used.title));
    }
    Ok(text.to_vec())
}

/// Text of several lines as it stands in a message: LF becomes CRLF, and one ends it.
pub fn wire(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    for line in text.split(|b| *b == b'\n') {
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The key that tables see: line ends are LF, none at the end.
pub fn key(raw: &[u8]) -> Vec<u8> {
    let raw = raw.strip_suffix(b"\r\n").unwrap_or(raw);
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().peekable();
    while let Some(byte) = bytes.next() {
        if *byte != b'\r' || bytes.peek() != Some(&&b'\n') {
            out.push(*byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Use<'_> = Use { title: "header_checks", header: true, delivering: false };
    const BODY: Use<'_> = Use { title: "body_checks", header: false, delivering: false };
    const SMTP: Use<'_> = Use { title: "smtp_header_checks", header: true, delivering: true };

    fn check(result: &str, used: Use<'_>, want: Result<(Action, &str), &str>) {
        let got = parse(result.as_bytes(), used).map(|c| (c.action, c.word));
        assert_eq!(got.as_ref().map(|(a, w)| (a.clone(), *w)).map_err(String::as_str), want, "{result}");
    }

    /// As seen with Postfix 3.7.11.
    #[test]
    fn results() {
        check("warn x", HEADER, Ok((Action::Warn, "warning")));
        check("ok", HEADER, Ok((Action::Dunno, "")));
        check("BCC a@b", BODY, Ok((Action::Bcc("a@b".into()), "bcc")));
        check("REPLACE   x: y", HEADER, Ok((Action::Replace(b"x: y".to_vec()), "replace")));
        check("PREPEND text", BODY, Ok((Action::Prepend(b"text".to_vec()), "prepend")));
        for (result, used, want) in [
            ("PREPEND", BODY, "PREPEND action without text in body_checks map"),
            ("REPLACE ", HEADER, "REPLACE action without text in header_checks map"),
            ("BCC", BODY, "bad BCC address \"\" in body_checks map -- need user@domain"),
            ("REDIRECT x", HEADER, "bad REDIRECT target \"x\" in header_checks map -- need user@domain"),
            ("FILTER", HEADER, "missing FILTER command argument in header_checks map"),
            (
                "FILTER nocolon",
                HEADER,
                "bad FILTER command nocolon in header_checks -- need transport:destination",
            ),
            (
                "PREPEND no header",
                HEADER,
                "bad PREPEND header text \"no header\" in header_checks map -- need \"headername: headervalue\"",
            ),
            ("NOSUCH action", BODY, "unknown command in body_checks map: NOSUCH action"),
            ("DISCARD", SMTP, "unsupported command in smtp_header_checks map: DISCARD"),
            ("What", SMTP, "unsupported command in smtp_header_checks map: What"),
        ] {
            check(result, used, Err(want));
        }
        assert!(ACTIONS.is_sorted_by_key(|record| record.name));
    }

    #[test]
    fn keys_and_lines() {
        assert_eq!(key(b"A: b\r\n c\rd\r\n"), b"A: b\n c\rd");
        assert_eq!(wire(b"A: b\n c"), b"A: b\r\n c\r\n");
    }
}
