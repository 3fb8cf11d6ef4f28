//! `sendmail -bs`: SMTP on standard input and output; each message goes to `postdrop` like any other.
//!
//! A session of its own, as it must work while the server is down: HELO, EHLO, MAIL, RCPT, DATA, RSET, NOOP, VRFY, QUIT. No
//! access rules apply: whoever can run this can submit mail anyway.

use super::{Caller, Fatal, submit};
use crate::say::Say;
use base_calls::{Recipient, maildrop::Maildrop};
use base_conf::Config;
use proto_address::internal;
use std::{
    io::{self, BufRead, Write},
    path::Path,
    process::ExitCode,
};

/// Longest command line, and most recipients of a message.
const MAX_LINE: usize = 2048;
const MAX_RECIPIENTS: usize = 1000;

#[derive(Default)]
struct Session {
    sender: Option<String>,
    recipients: Vec<String>,
}

/// Runs the session to its end.
pub fn session(config: &Config, dir: &Path, caller: &Caller, say: &Say) -> Result<ExitCode, Fatal> {
    let setting = |name: &str| config.str(name).map_err(|e| e.to_string());
    let (host, banner, limit) =
        (setting("myhostname")?, setting("smtpd_banner")?, setting("message_size_limit")?);
    let (mut input, mut out) = (io::stdin().lock(), io::stdout().lock());
    let mut reply =
        |text: &str| write!(out, "{text}\r\n").and_then(|()| out.flush()).map_err(|e| e.to_string());
    reply(&format!("220 {banner}"))?;
    let mut s = Session::default();
    loop {
        let Some(line) = read_line(&mut input)? else { return Ok(ExitCode::SUCCESS) };
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "QUIT" => {
                reply("221 2.0.0 Bye")?;
                return Ok(ExitCode::SUCCESS);
            }
            "DATA" if s.sender.is_some() && !s.recipients.is_empty() => {
                reply("354 End data with <CR><LF>.<CR><LF>")?;
                let text = data(&mut s, &mut input, config, dir, caller, say);
                reply(&text)?;
            }
            verb => reply(&answer(&mut s, verb, rest.trim(), &host, &limit))?,
        }
    }
}

fn read_line(input: &mut impl BufRead) -> Result<Option<String>, Fatal> {
    let mut line = Vec::new();
    let n = io::Read::take(&mut *input, MAX_LINE as u64)
        .read_until(b'\n', &mut line)
        .map_err(|e| e.to_string())?;
    if n == 0 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&line);
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn answer(s: &mut Session, verb: &str, rest: &str, host: &str, limit: &str) -> String {
    match verb {
        "HELO" | "EHLO" if rest.is_empty() => format!("501 Syntax: {verb} hostname"),
        "HELO" => greet(s, format!("250 {host}")),
        "EHLO" => greet(
            s,
            format!(
                "250-{host}\r\n250-PIPELINING\r\n250-SIZE {limit}\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 SMTPUTF8"
            ),
        ),
        "RSET" => {
            (s.sender, s.recipients) = (None, Vec::new());
            "250 2.0.0 Ok".into()
        }
        "NOOP" => "250 2.0.0 Ok".into(),
        "VRFY" => "252 2.0.0 Cannot VRFY user, but will take message for this user".into(),
        "MAIL" => mail(s, rest),
        "RCPT" => rcpt(s, rest),
        "DATA" if s.sender.is_none() => "503 5.5.1 Error: need RCPT command".into(),
        "DATA" => "554 5.5.1 Error: no valid recipients".into(),
        _ => "502 5.5.2 Error: command not recognized".into(),
    }
}

fn greet(s: &mut Session, text: String) -> String {
    *s = Session::default();
    text
}

fn mail(s: &mut Session, rest: &str) -> String {
    if s.sender.is_some() {
        return "503 5.5.1 Error: nested MAIL command".into();
    }
    match path(rest, "FROM:") {
        Some(sender) => {
            s.sender = Some(sender);
            "250 2.1.0 Ok".into()
        }
        None => "501 5.5.4 Syntax: MAIL FROM:<address>".into(),
    }
}

fn rcpt(s: &mut Session, rest: &str) -> String {
    if s.sender.is_none() {
        return "503 5.5.1 Error: need MAIL command".into();
    }
    if s.recipients.len() >= MAX_RECIPIENTS {
        return "452 4.5.3 Error: too many recipients".into();
    }
    match path(rest, "TO:").filter(|a| !a.is_empty()) {
        Some(address) => {
            s.recipients.push(address);
            "250 2.1.5 Ok".into()
        }
        None => "501 5.5.4 Syntax: RCPT TO:<address>".into(),
    }
}

/// The address in `FROM:<address> options`, unquoted.
fn path(rest: &str, word: &str) -> Option<String> {
    let (head, tail) = rest.split_at_checked(word.len())?;
    if !head.eq_ignore_ascii_case(word) {
        return None;
    }
    let tail = tail.trim_start();
    let inside = match tail.strip_prefix('<') {
        Some(t) => t.rsplit_once('>')?.0,
        None => tail.split(' ').next()?,
    };
    (!inside.contains(['\r', '\n', '\0'])).then(|| internal(inside).into_owned())
}

/// Takes the content to its dot and hands it over. What goes wrong is said after the dot.
fn data(
    s: &mut Session,
    input: &mut impl BufRead,
    config: &Config,
    dir: &Path,
    caller: &Caller,
    say: &Say,
) -> String {
    let recipients = std::mem::take(&mut s.recipients);
    let envelope = Maildrop {
        sender: s.sender.take().unwrap_or_default(),
        recipients: recipients
            .into_iter()
            .map(|address| Recipient { address, ..Recipient::default() })
            .collect(),
        ..Maildrop::default()
    };
    let started = submit::Drop::start(config, dir, caller, &envelope);
    let (mut drop, mut trouble) = match started {
        Ok(d) => (Some(d), None),
        Err(e) => (None, Some(e)),
    };
    let read = dot_lines(input, |bytes| {
        if let Some(d) = &mut drop
            && trouble.is_none()
            && let Err(e) = d.content(bytes)
        {
            trouble = Some(e);
        }
    });
    let done = match (read, trouble, drop) {
        (Ok(true), None, Some(d)) => d.finish(say),
        (Ok(true), Some(e), _) => Err(e),
        (Ok(_), ..) => Err("unexpected end of input".into()),
        (Err(e), ..) => Err(e.to_string()),
    };
    match done {
        Ok(()) => "250 2.0.0 Ok: queued".into(),
        Err(e) => {
            say.warning(&e);
            "451 4.3.0 Error: queue file write error".into()
        }
    }
}

/// Lines up to the single dot, without the dots in front; false when the input ended before it.
fn dot_lines(input: &mut impl BufRead, mut each: impl FnMut(&[u8])) -> io::Result<bool> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(false);
        }
        let body = line.strip_suffix(b"\n").unwrap_or(&line);
        let body = body.strip_suffix(b"\r").unwrap_or(body);
        if body == b"." {
            return Ok(true);
        }
        each(body.strip_prefix(b".").unwrap_or(body));
        each(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialogue() {
        let mut s = Session::default();
        let mut say = |line: &str| {
            let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
            answer(&mut s, verb, rest, "h", "10").lines().last().unwrap_or_default().to_owned()
        };
        for (line, want) in [
            ("RCPT TO:<a>", "503 5.5.1 Error: need MAIL command"),
            ("EHLO x", "250 SMTPUTF8"),
            ("MAIL FROM:<\"a b\"@c> SIZE=3", "250 2.1.0 Ok"),
            ("MAIL FROM:<>", "503 5.5.1 Error: nested MAIL command"),
            ("RCPT TO:", "501 5.5.4 Syntax: RCPT TO:<address>"),
            ("RCPT TO:<alice>", "250 2.1.5 Ok"),
            ("RSET", "250 2.0.0 Ok"),
            ("DATA", "503 5.5.1 Error: need RCPT command"),
            ("XYZ", "502 5.5.2 Error: command not recognized"),
        ] {
            assert_eq!(say(line), want, "{line}");
        }
    }

    #[test]
    fn dots() {
        let mut out = Vec::new();
        assert!(dot_lines(&mut &b"a\r\n..b\n.\r\nrest"[..], |b| out.extend_from_slice(b)).unwrap());
        assert_eq!(out, b"a\r\n.b\r\n");
        assert!(!dot_lines(&mut &b"a\r\n"[..], |_| {}).unwrap());
    }
}
