//! Replies as the client sees them: code, enhanced status, and the text as the log shows it.
//!
//! Differs from [`crate::ReplyParser`] on purpose: the whole text of the server is kept, codes and dashes of every line
//! included, because logs and notices show it; a line that is no reply line is kept as text and waited over, as
//! Postfix does. Bounded in lines and bytes.

use proto_dsn::Status;

/// Most lines of one reply, text that is no reply included.
const MAX_LINES: usize = 1000;
/// Most text of one reply that is kept; the rest is read and dropped.
const MAX_TEXT: usize = 16 * 1024;

/// A complete reply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerReply {
    /// Of the last line.
    pub code: u16,
    /// Enhanced status code of the last line.
    pub status: Option<Status>,
    /// All lines, joined by a blank: `250-2.6.0 line one 250 2.6.0 line two`.
    pub text: String,
}

impl ServerReply {
    /// First digit.
    pub fn class(&self) -> u16 {
        self.code / 100
    }

    /// 4xx. Everything else that is not what we waited for is permanent.
    pub fn is_temporary(&self) -> bool {
        self.class() == 4
    }

    /// Status of a reply that was a success.
    pub fn success_status(&self) -> Status {
        self.status.filter(|s| s.class() == 2).unwrap_or(Status::new(2, 0, 0))
    }

    /// Status of a reply that was not what we waited for: the server's own when it fits the code; 5.5.0 (protocol
    /// error) when the code says neither 4xx nor 5xx.
    pub fn failure_status(&self) -> Status {
        let class = match self.class() {
            4 => 4,
            5 => 5,
            _ => return Status::new(5, 5, 0),
        };
        self.status.filter(|s| s.class() == class).unwrap_or(Status::new(class, 0, 0))
    }
}

/// What a line was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// More lines follow.
    More,
    /// Not a line of a reply; it is part of the text. The administrator is warned.
    NoReply,
    /// The reply is complete.
    Reply(ServerReply),
}

/// A reply with more than the bounded number of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reply too long")]
pub struct TooLong;

/// Collects lines into replies.
#[derive(Debug, Default)]
pub struct ReplyReader {
    text: String,
    lines: usize,
}

impl ReplyReader {
    /// Whether a reply has begun.
    pub fn is_within(&self) -> bool {
        self.lines > 0
    }

    /// Takes a line without its end.
    pub fn line(&mut self, line: &[u8]) -> Result<Taken, TooLong> {
        self.lines += 1;
        if self.lines > MAX_LINES {
            return Err(TooLong);
        }
        self.keep(line);
        Ok(match split(line) {
            None => Taken::NoReply,
            Some((_, true, _)) => Taken::More,
            Some((code, false, text)) => {
                let done = std::mem::take(self);
                Taken::Reply(ServerReply { code, status: status_of(text), text: done.text })
            }
        })
    }

    fn keep(&mut self, line: &[u8]) {
        if self.lines > 1 {
            self.text.push(' ');
        }
        let room = MAX_TEXT.saturating_sub(self.text.len());
        let line = line.get(..room).unwrap_or(line);
        self.text.push_str(&String::from_utf8_lossy(line));
    }
}

fn status_of(text: &[u8]) -> Option<Status> {
    let end = text.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(text.len());
    match text.get(end) {
        None | Some(b' ' | b'\t') => std::str::from_utf8(text.get(..end)?).ok()?.parse().ok(),
        Some(_) => None,
    }
}

/// Code, whether more lines follow, text.
fn split(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (&[a, b, c], rest) = line.split_first_chunk::<3>()?;
    if ![a, b, c].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    match rest.split_first() {
        None => Some((code, false, rest)),
        Some((b'-', text)) => Some((code, true, text)),
        Some((b' ' | b'\t', text)) => Some((code, false, text.trim_ascii_start())),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Taken {
        let mut r = ReplyReader::default();
        lines.iter().map(|l| r.line(l.as_bytes()).unwrap()).last().unwrap()
    }

    #[test]
    fn texts_and_statuses() {
        for (lines, code, text, failure) in [
            (&["550 5.1.1 no user"] as &[&str], 550, "550 5.1.1 no user", "5.1.1"),
            (
                &["550-5.1.1 no such user", "550 second line"],
                550,
                "550-5.1.1 no such user 550 second line",
                "5.0.0",
            ),
            (&["450 busy"], 450, "450 busy", "4.0.0"),
            (&["550 4.1.1 wrong class"], 550, "550 4.1.1 wrong class", "5.0.0"),
            (&["354 strange"], 354, "354 strange", "5.5.0"),
            (&["bogus reply", "354 End data"], 354, "bogus reply 354 End data", "5.5.0"),
            (&["421"], 421, "421", "4.0.0"),
            (&["999 odd"], 999, "999 odd", "5.5.0"),
        ] {
            let Taken::Reply(r) = read(lines) else { panic!("{lines:?}") };
            assert_eq!(
                (r.code, r.text.as_str(), r.failure_status().to_string().as_str()),
                (code, text, failure)
            );
        }
        let Taken::Reply(r) = read(&["250-2.6.0 line one", "250 2.6.0 line two"]) else { panic!() };
        assert_eq!(r.success_status(), Status::new(2, 6, 0));
        let Taken::Reply(r) = read(&["250 5.0.0 wrong class"]) else { panic!() };
        assert_eq!(r.success_status(), Status::new(2, 0, 0));
    }

    #[test]
    fn what_is_no_reply() {
        for line in ["", "25", "hello", "2500 x", "25\u{e9} x", " 250 x"] {
            assert_eq!(read(&[line]), Taken::NoReply, "{line:?}");
        }
        assert_eq!(read(&["250-x"]), Taken::More);
    }

    #[test]
    fn bounded() {
        let mut r = ReplyReader::default();
        let line = [b"250-".as_slice(), &[b'x'; 1000]].concat();
        let results: Vec<_> = (0..1001).map(|_| r.line(&line)).collect();
        assert_eq!(results.last(), Some(&Err(TooLong)));
        assert!(r.text.len() < MAX_TEXT + MAX_LINES + 1000);
    }
}
