//! The start of what an SMTP client sends, made safe to stand behind our own Received: header.
//!
//! - `From ` lines of a mailbox (`>From ` too) become `X-Mailbox-Line:` headers;
//! - a first line that starts with a blank would continue our header: an empty line goes in front, so that it is body.
//!
//! smtpd(8) does the same. Bytes after that pass untouched.

/// Longest run of `>` in front of `From ` that is looked at.
const MAX_QUOTES: usize = 70;

/// Watches the start of a message.
#[derive(Debug, Default)]
pub struct FirstLine {
    state: State,
    pending: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Undecided,
    InFromLine,
    Done,
}

/// What the start of a line turns out to be.
enum Start {
    Unknown,
    From,
    Other,
}

fn start_of(line: &[u8]) -> Start {
    const FROM: &[u8] = b"From ";
    let quotes = line.iter().take_while(|&&b| b == b'>').count();
    let rest = line.get(quotes..).unwrap_or_default();
    if quotes > MAX_QUOTES || !FROM.starts_with(rest.get(..FROM.len().min(rest.len())).unwrap_or_default()) {
        Start::Other
    } else if rest.len() >= FROM.len() {
        Start::From
    } else {
        Start::Unknown
    }
}

impl FirstLine {
    /// Takes content. What is to be passed on: first the bytes put into `out`, then the returned rest.
    pub fn push<'a>(&mut self, mut chunk: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        while self.state != State::Done
            && let [first, rest @ ..] = chunk
        {
            chunk = rest;
            if self.state == State::InFromLine {
                out.push(*first);
                if *first == b'\n' {
                    self.state = State::Undecided;
                }
            } else {
                self.pending.push(*first);
                self.decide(out);
            }
        }
        chunk
    }

    fn decide(&mut self, out: &mut Vec<u8>) {
        match start_of(&self.pending) {
            Start::Unknown => {}
            Start::From => {
                out.extend_from_slice(b"X-Mailbox-Line: ");
                out.append(&mut self.pending);
                self.state = State::InFromLine;
            }
            Start::Other => {
                if matches!(self.pending.first(), Some(b' ' | b'\t')) {
                    out.extend_from_slice(b"\r\n");
                }
                self.finish(out);
            }
        }
    }

    /// The end of the message: what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.pending);
        self.state = State::Done;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(content: &str, size: usize) -> String {
        let (mut first, mut out) = (FirstLine::default(), Vec::new());
        for chunk in content.as_bytes().chunks(size) {
            let rest = first.push(chunk, &mut out);
            out.extend_from_slice(rest);
        }
        first.finish(&mut out);
        String::from_utf8(out).unwrap().replace("\r\n", "|")
    }

    #[test]
    fn starts() {
        let quotes = ">".repeat(100);
        let table = [
            ("", "".to_owned()),
            ("\r\n", "|".to_owned()),
            ("Subject: x\r\n", "Subject: x|".to_owned()),
            ("From x\r\nA: b\r\n", "X-Mailbox-Line: From x|A: b|".to_owned()),
            (
                ">>From x\r\n>From y\r\n z\r\n",
                "X-Mailbox-Line: >>From x|X-Mailbox-Line: >From y|| z|".to_owned(),
            ),
            ("From: x\r\n", "From: x|".to_owned()),
            ("Fro", "Fro".to_owned()),
            (" x\r\n", "| x|".to_owned()),
            ("\tx\r\n", "|\tx|".to_owned()),
            ("A: b\r\nFrom c\r\n d\r\n", "A: b|From c| d|".to_owned()),
            (&quotes, quotes.clone()),
        ];
        for (content, want) in table {
            for size in [1, 2, 3, 1000] {
                assert_eq!(run(content, size), want, "{content:?}");
            }
        }
    }
}
