//! SMTP commands as a server reads them, with Postfix's tolerance (RFC 5321 4.1, postconf(5) `strict_rfc821_envelopes`).
//!
//! [`Words`] splits a line: words end at blanks, except inside `<…>` and `"…"`. [`Command::parse`] gives the command
//! or the [`Syntax`] error with the answer that Postfix gives for it; the session checks the sequence first and
//! therefore parses in two steps, [`Verb::of`] and then the arguments. Addresses come out as written: turning them
//! into internal form is [`parse_path`](proto_address::parse_path)'s work.

use crate::{Reply, xattr};
use proto_dsn::Status;

/// The commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// HELO.
    Helo,
    /// EHLO.
    Ehlo,
    /// XCLIENT_README.
    Xclient,
    /// XFORWARD_README.
    Xforward,
    /// RFC 3207.
    StartTls,
    /// RFC 4954.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// RFC 3030.
    Bdat,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// VRFY.
    Vrfy,
    /// RFC 1985.
    Etrn,
    /// QUIT.
    Quit,
    /// HELP.
    Help,
    /// Anything else.
    Unknown,
}

impl Verb {
    /// In the order of the statistics of the disconnect line; `Unknown` is the last one.
    pub const ALL: [Verb; 17] = [
        Verb::Helo,
        Verb::Ehlo,
        Verb::Xclient,
        Verb::Xforward,
        Verb::StartTls,
        Verb::Auth,
        Verb::Mail,
        Verb::Rcpt,
        Verb::Data,
        Verb::Bdat,
        Verb::Rset,
        Verb::Noop,
        Verb::Vrfy,
        Verb::Etrn,
        Verb::Quit,
        Verb::Help,
        Verb::Unknown,
    ];

    /// As on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Helo => "HELO",
            Self::Ehlo => "EHLO",
            Self::Xclient => "XCLIENT",
            Self::Xforward => "XFORWARD",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Bdat => "BDAT",
            Self::Rset => "RSET",
            Self::Noop => "NOOP",
            Self::Vrfy => "VRFY",
            Self::Etrn => "ETRN",
            Self::Quit => "QUIT",
            Self::Help => "HELP",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The verb with this name, in any case.
    pub fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|v| v.name().eq_ignore_ascii_case(name)).unwrap_or(Self::Unknown)
    }

    /// The verb of a line and the rest of it; `None` for a line of blanks.
    pub fn of(line: &str) -> Option<(Self, &str)> {
        let line = line.trim_start_matches(is_blank);
        let end = line.find(is_blank).unwrap_or(line.len());
        let (word, rest) = line.split_at(end);
        let verb = Self::from_name(word);
        (!word.is_empty()).then_some((if word == "UNKNOWN" { Self::Unknown } else { verb }, rest))
    }

    /// Commands that need no encrypted session where one is demanded (RFC 3207 4).
    pub const fn is_for_plaintext(self) -> bool {
        matches!(
            self,
            Self::Helo
                | Self::Ehlo
                | Self::StartTls
                | Self::Xclient
                | Self::Noop
                | Self::Quit
                | Self::Help
                | Self::Unknown
        )
    }

    /// Commands after which a client must wait for the answer even with PIPELINING (RFC 2920 3.1). Not AUTH, whose answers
    /// may stand behind it, and not STARTTLS, after which everything is thrown away.
    pub const fn ends_a_group(self) -> bool {
        matches!(self, Self::Helo | Self::Ehlo | Self::Data | Self::Noop | Self::Vrfy | Self::Quit)
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\x0b' | '\x0c')
}

/// The words of a line. `<a b>` and `"a b"` (also within a word) are kept together; without the closing character they
/// reach to the end of the line.
#[derive(Debug, Clone)]
pub struct Words<'a>(pub &'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start_matches(is_blank);
        let mut group = Group::default();
        let end = rest.char_indices().find(|&(_, c)| group.ends_word(c));
        let (word, rest) = rest.split_at(end.map_or(rest.len(), |(i, _)| i));
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// Inside of what the next character is.
#[derive(Default)]
struct Group {
    angle: bool,
    quote: bool,
    escaped: bool,
}

impl Group {
    /// Whether `c` is a blank outside of all groups; else takes note of it.
    fn ends_word(&mut self, c: char) -> bool {
        if self.escaped {
            self.escaped = false;
            return false;
        }
        match c {
            '\\' if self.quote => self.escaped = true,
            '"' => self.quote = !self.quote,
            '<' if !self.quote => self.angle = true,
            '>' if !self.quote => self.angle = false,
            _ => return is_blank(c) && !self.quote && !self.angle,
        }
        false
    }
}

/// An ESMTP parameter as written: `SIZE=10`, `SMTPUTF8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// All of it, for the error text.
    pub text: &'a str,
    /// Before `=`.
    pub name: &'a str,
    /// After `=`; `None` without one.
    pub value: Option<&'a str>,
}

impl<'a> Param<'a> {
    fn of(text: &'a str) -> Self {
        match text.split_once('=') {
            Some((name, value)) => Self { text, name, value: Some(value) },
            None => Self { text, name: text, value: None },
        }
    }

    /// Whether the name is this, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// MAIL or RCPT: the address as written and the parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathCommand<'a> {
    /// `<user@example.com>`.
    pub path: &'a str,
    /// What follows.
    pub params: Vec<Param<'a>>,
}

/// `BDAT size [LAST]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes that follow the command line.
    pub size: u64,
    /// The last chunk of the message.
    pub last: bool,
}

/// A complete command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// HELO name; several words are joined by a blank.
    Helo(String),
    /// EHLO name.
    Ehlo(String),
    /// MAIL FROM.
    Mail(PathCommand<'a>),
    /// RCPT TO.
    Rcpt(PathCommand<'a>),
    /// DATA.
    Data,
    /// BDAT.
    Bdat(Chunk),
    /// RSET.
    Rset,
    /// NOOP with anything.
    Noop,
    /// VRFY: the address as written and whether SMTPUTF8 was said.
    Vrfy(String, bool),
    /// ETRN: the argument as written.
    Etrn(&'a str),
    /// QUIT with anything.
    Quit,
    /// HELP with anything.
    Help,
    /// STARTTLS.
    StartTls,
    /// AUTH: mechanism and initial response.
    Auth(&'a str, Option<&'a str>),
    /// XCLIENT: names and decoded values.
    Xclient(Vec<xattr::Attribute>),
    /// XFORWARD.
    Xforward(Vec<xattr::Attribute>),
    /// No command of ours.
    Unknown(&'a str),
}

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Syntax {
    /// Nothing but blanks.
    #[error("empty command")]
    Empty,
    /// The arguments of this command make no sense.
    #[error("bad {} syntax", .0.name())]
    Arguments(Verb),
    /// XCLIENT, XFORWARD: a word that is not `name=value`.
    #[error("attribute without value")]
    Attribute,
}

impl Syntax {
    /// Postfix's answer.
    pub fn reply(self) -> Reply {
        let bad_arguments = Status::new(5, 5, 4);
        match self {
            Self::Empty => Reply::new(500, Status::new(5, 5, 2), "Error: bad syntax"),
            Self::Attribute => Reply::new(501, bad_arguments, "Error: attribute=value expected"),
            Self::Arguments(verb) => match verb {
                Verb::Helo => Reply::plain(501, "Syntax: HELO hostname"),
                Verb::Ehlo => Reply::plain(501, "Syntax: EHLO hostname"),
                Verb::Etrn => Reply::plain(500, "Syntax: ETRN domain"),
                Verb::Mail => Reply::new(501, bad_arguments, "Syntax: MAIL FROM:<address>"),
                Verb::Rcpt => Reply::new(501, bad_arguments, "Syntax: RCPT TO:<address>"),
                Verb::Vrfy => Reply::new(501, bad_arguments, "Syntax: VRFY address [SMTPUTF8]"),
                Verb::Bdat => Reply::new(521, bad_arguments, "Syntax: BDAT count [LAST]"),
                Verb::Auth => Reply::new(501, bad_arguments, "Syntax: AUTH mechanism"),
                Verb::Xclient => Reply::new(501, bad_arguments, "Syntax: XCLIENT attribute=value..."),
                Verb::Xforward => Reply::new(501, bad_arguments, "Syntax: XFORWARD attribute=value..."),
                _ => Reply::new(501, bad_arguments, format!("Syntax: {}", verb.name())),
            },
        }
    }
}

impl<'a> Command<'a> {
    /// Reads a whole line (without its end).
    pub fn parse(line: &'a str) -> Result<Self, Syntax> {
        let (verb, rest) = Verb::of(line).ok_or(Syntax::Empty)?;
        Self::with_arguments(verb, rest)
    }

    /// Reads the rest of a line after its verb.
    pub fn with_arguments(verb: Verb, rest: &'a str) -> Result<Self, Syntax> {
        let bad = Syntax::Arguments(verb);
        let mut words = Words(rest);
        Ok(match verb {
            Verb::Helo => Self::Helo(host_name(words).ok_or(bad)?),
            Verb::Ehlo => Self::Ehlo(host_name(words).ok_or(bad)?),
            Verb::Mail => Self::Mail(path_command("FROM:", rest).ok_or(bad)?),
            Verb::Rcpt => Self::Rcpt(path_command("TO:", rest).ok_or(bad)?),
            Verb::Data => words.next().map_or(Ok(Self::Data), |_| Err(bad))?,
            Verb::Rset => words.next().map_or(Ok(Self::Rset), |_| Err(bad))?,
            Verb::StartTls => words.next().map_or(Ok(Self::StartTls), |_| Err(bad))?,
            Verb::Bdat => Self::Bdat(chunk(words).ok_or(bad)?),
            Verb::Noop => Self::Noop,
            Verb::Quit => Self::Quit,
            Verb::Help => Self::Help,
            Verb::Vrfy => vrfy(words).ok_or(bad)?,
            Verb::Etrn => match (words.next(), words.next()) {
                (Some(w), None) => Self::Etrn(w),
                _ => return Err(bad),
            },
            Verb::Auth => match (words.next(), words.next(), words.next()) {
                (Some(mechanism), response, None) => Self::Auth(mechanism, response),
                _ => return Err(bad),
            },
            Verb::Xclient => Self::Xclient(attributes(verb, words)?),
            Verb::Xforward => Self::Xforward(attributes(verb, words)?),
            Verb::Unknown => Self::Unknown(rest),
        })
    }
}

fn host_name(words: Words<'_>) -> Option<String> {
    let name = words.collect::<Vec<_>>().join(" ");
    (!name.is_empty()).then_some(name)
}

fn path_command<'a>(prefix: &str, rest: &'a str) -> Option<PathCommand<'a>> {
    let rest = rest.trim_start_matches(is_blank);
    let (head, rest) = rest.split_at_checked(prefix.len())?;
    if !head.eq_ignore_ascii_case(prefix) {
        return None;
    }
    let mut words = Words(rest);
    let path = words.next()?;
    Some(PathCommand { path, params: words.map(Param::of).collect() })
}

fn chunk(mut words: Words<'_>) -> Option<Chunk> {
    let size = words.next()?;
    if !size.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let last = match words.next() {
        None => false,
        Some(w) if w.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    words.next().is_none().then_some(Chunk { size: size.parse().ok()?, last })
}

fn vrfy<'a>(words: Words<'a>) -> Option<Command<'a>> {
    let mut words: Vec<&str> = words.collect();
    let utf8 = words.len() > 1 && words.last().is_some_and(|w| w.eq_ignore_ascii_case("SMTPUTF8"));
    if utf8 {
        words.pop();
    }
    (!words.is_empty()).then(|| Command::Vrfy(words.join(" "), utf8))
}

fn attributes(verb: Verb, words: Words<'_>) -> Result<Vec<xattr::Attribute>, Syntax> {
    let list = words.map(xattr::Attribute::parse).collect::<Result<Vec<_>, _>>()?;
    if list.is_empty() { Err(Syntax::Arguments(verb)) } else { Ok(list) }
}

/// Whether a line that is no command looks like a header field or another protocol: `Subject: x`, `.`, `\x16`. Such a
/// client does not wait for replies, and is better dropped.
pub fn is_foreign(line: &str) -> bool {
    let word = line.split(is_blank).next().unwrap_or_default();
    let header = line.find(':').is_some_and(|i| i > 0 && line.bytes().take(i).all(|b| b.is_ascii_graphic()));
    header || !word.starts_with(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(line: &str) -> Option<(&str, Vec<&str>)> {
        match Command::parse(line) {
            Ok(Command::Mail(p) | Command::Rcpt(p)) => {
                Some((p.path, p.params.iter().map(|p| p.text).collect()))
            }
            _ => None,
        }
    }

    #[test]
    fn paths() {
        for (line, want) in [
            ("MAIL FROM:<a@b>", Some(("<a@b>", vec![]))),
            ("mail from: <a@b> SIZE=1 body=7bit", Some(("<a@b>", vec!["SIZE=1", "body=7bit"]))),
            ("MAIL  FROM:a@b", Some(("a@b", vec![]))),
            ("RCPT TO:<a b@c> X", Some(("<a b@c>", vec!["X"]))),
            ("RCPT TO:<\"a> b\"@c>", Some(("<\"a> b\"@c>", vec![]))),
            ("RCPT TO:\"a b\"@c", Some(("\"a b\"@c", vec![]))),
            ("MAIL FROM:John <a@b>", Some(("John", vec!["<a@b>"]))),
            ("MAIL FROM:<a@b>SIZE=10", Some(("<a@b>SIZE=10", vec![]))),
            ("MAIL FROM:<a@b c", Some(("<a@b c", vec![]))),
            ("MAIL FROM:>", Some((">", vec![]))),
            ("MAIL FROM:", None),
            ("MAIL FROM", None),
            ("MAIL FROM :<a@b>", None),
            ("MAIL TO:<a@b>", None),
            ("MAIL", None),
            ("RCPT TO\u{e9}:<a@b>", None),
        ] {
            assert_eq!(path(line), want, "{line}");
        }
    }

    #[test]
    fn others() {
        for (line, want) in [
            ("  noop x", Ok(Command::Noop)),
            ("HELO a  b", Ok(Command::Helo("a b".into()))),
            ("BDAT 10", Ok(Command::Bdat(Chunk { size: 10, last: false }))),
            ("BDAT 0 last", Ok(Command::Bdat(Chunk { size: 0, last: true }))),
            ("BDAT -1", Err(Syntax::Arguments(Verb::Bdat))),
            ("BDAT 99999999999999999999", Err(Syntax::Arguments(Verb::Bdat))),
            ("VRFY a b smtputf8", Ok(Command::Vrfy("a b".into(), true))),
            ("VRFY smtputf8", Ok(Command::Vrfy("smtputf8".into(), false))),
            ("RSET x", Err(Syntax::Arguments(Verb::Rset))),
            ("", Err(Syntax::Empty)),
            (" \t", Err(Syntax::Empty)),
            ("unknown", Ok(Command::Unknown(""))),
        ] {
            assert_eq!(Command::parse(line), want, "{line}");
        }
    }

    #[test]
    fn foreign_protocols() {
        for (line, want) in [
            ("Subject: x", true),
            (".", true),
            ("X-Foo: bar", true),
            ("FOO", false),
            ("FOO bar:", false),
            ("\u{16}\u{3}", true),
        ] {
            assert_eq!(is_foreign(line), want, "{line}");
        }
    }
}
