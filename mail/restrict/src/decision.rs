//! One decision of the past, as `postfix explain` shows it: who wanted what, what was said, and the way there.
//!
//! Its form in memory, on disk and to the tool is one run of bytes: the time, the texts in the order of [`Decision`]'s fields, the
//! recorded steps. A frame that makes no sense is `None`.

use crate::trace::{Step, put_text, steps, take_text};

/// One decision. Texts that are not known are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Decision<'a> {
    /// Microseconds since 1970.
    pub time: u64,
    /// `smtp`, `submission` …
    pub service: &'a str,
    /// The message's queue id.
    pub id: &'a str,
    /// `RCPT`, `DATA` …
    pub stage: &'a str,
    /// The client's name.
    pub name: &'a str,
    /// The client's address.
    pub addr: &'a str,
    /// Its HELO name.
    pub helo: &'a str,
    /// Sender between `<>`; empty before MAIL.
    pub sender: &'a str,
    /// Recipient between `<>`; empty where there is none.
    pub recipient: &'a str,
    /// Login name.
    pub login: &'a str,
    /// The refusal; empty: accepted.
    pub reply: &'a str,
    /// The way there, as a [`crate::Tape`] has recorded it.
    pub tape: &'a [u8],
}

impl<'a> Decision<'a> {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let texts = self.texts();
        let size: usize = texts.iter().map(|t| t.len() + 2).sum();
        let mut out = Vec::with_capacity(8 + size + self.tape.len());
        out.extend(self.time.to_le_bytes());
        texts.iter().for_each(|text| put_text(&mut out, text));
        out.extend_from_slice(self.tape);
        out
    }

    fn texts(&self) -> [&'a str; 10] {
        [
            self.service,
            self.id,
            self.stage,
            self.name,
            self.addr,
            self.helo,
            self.sender,
            self.recipient,
            self.login,
            self.reply,
        ]
    }

    /// From bytes.
    pub fn decode(frame: &'a [u8]) -> Option<Self> {
        let (time, mut rest) = frame.split_first_chunk::<8>()?;
        let mut next = || take_text(&mut rest);
        let decision = Self {
            time: u64::from_le_bytes(*time),
            service: next()?,
            id: next()?,
            stage: next()?,
            name: next()?,
            addr: next()?,
            helo: next()?,
            sender: next()?,
            recipient: next()?,
            login: next()?,
            reply: next()?,
            tape: &[],
        };
        Some(Self { tape: rest, ..decision })
    }

    /// The way there.
    pub fn steps(&self) -> Vec<Step> {
        steps(self.tape)
    }

    /// Whether it is about this queue id, client address, login or mail address.
    pub fn is_about(&self, what: &str) -> bool {
        let inside = |address: &'a str| address.trim_start_matches('<').trim_end_matches('>');
        if what.is_empty() {
            return false;
        }
        self.id == what
            || [self.addr, self.name, self.login].into_iter().any(|text| text.eq_ignore_ascii_case(what))
            || [self.sender, self.recipient].into_iter().any(|text| {
                !text.is_empty() && (text == what || inside(text).to_lowercase() == what.to_lowercase())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let decision = Decision {
            time: 7,
            service: "smtp",
            id: "4ABC",
            stage: "RCPT",
            name: "mx.example.net",
            addr: "192.0.2.7",
            sender: "<>",
            recipient: "<Alice@example.com>",
            reply: "554 5.7.1 no",
            tape: b"D",
            ..Decision::default()
        };
        let frame = decision.encode();
        assert_eq!(Decision::decode(&frame), Some(decision));
        for end in 0..frame.len() - 1 {
            assert_eq!(Decision::decode(&frame[..end]), None);
        }
        for (what, yes) in [
            ("4ABC", true),
            ("4abc", false),
            ("192.0.2.7", true),
            ("MX.example.net", true),
            ("alice@EXAMPLE.com", true),
            ("<>", true),
            ("", false),
            ("example.com", false),
        ] {
            assert_eq!(decision.is_about(what), yes, "{what}");
        }
    }
}
