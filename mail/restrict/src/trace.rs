//! What the evaluator does, step by step: for `postfix explain`, about what would be and about what was.
//!
//! A [`Tape`] in the facts of a session is written by the code that serves clients; without one nothing is written. Steps are kept as
//! bytes, so that recording one is a copy of its words and no more. A tape is bounded: what comes when it is full is left out, and
//! [`Step::Cut`] says so.

use crate::{Facts, Refusal, Verdict, list::Arg};
use base_calls::MessageAction;
use std::sync::{Mutex, PoisonError};

/// The longest word of a step, in bytes.
const MAX_PART: usize = 1000;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A list begins: its parameter.
    List(String),
    /// A restriction class begins.
    Class(String),
    /// A restriction is asked: its name and what follows it.
    Asked(String, String),
    /// A key is looked up in a table. `None`: it is not there; `Err`: the table cannot be asked.
    Lookup(String, String, Result<Option<String>, ()>),
    /// What a restriction said, or what was made of it.
    Said(String),
    /// What is done to the message.
    Action(String),
    /// What followed did not fit.
    Cut,
}

/// The steps of one decision, as they are recorded.
#[derive(Debug)]
pub struct Tape {
    limit: usize,
    bytes: Mutex<Vec<u8>>,
}

impl Tape {
    /// Room for so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, bytes: Mutex::default() }
    }

    /// What is recorded so far; then the tape is empty again.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, tag: u8, parts: &[&str]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.last() == Some(&CUT) && bytes.len() > self.limit {
            return;
        }
        let size: usize = parts.iter().map(|p| p.len().min(MAX_PART) + 2).sum();
        if bytes.len() + size >= self.limit {
            // Longer than the limit: the mark of a tape that is full.
            let fill = (self.limit + 1).saturating_sub(bytes.len()).max(1);
            bytes.extend(std::iter::repeat_n(CUT, fill));
            return;
        }
        bytes.push(tag);
        parts.iter().for_each(|part| put_text(&mut bytes, clipped(part, MAX_PART)));
    }

    pub(crate) fn list(&self, parameter: &str) {
        self.put(LIST, &[parameter]);
    }

    pub(crate) fn class(&self, name: &str) {
        self.put(CLASS, &[name]);
    }

    pub(crate) fn asked(&self, name: &str, arg: &Arg) {
        self.put(ASKED, &[name, argument(arg)]);
    }

    pub(crate) fn lookup(&self, table: &str, key: &str, answer: Result<Option<&str>, ()>) {
        match answer {
            Ok(Some(value)) => self.put(FOUND, &[table, key, value]),
            Ok(None) => self.put(MISSED, &[table, key]),
            Err(()) => self.put(FAILED, &[table, key]),
        }
    }

    /// What was made of it, in words.
    pub fn said(&self, text: &str) {
        self.put(SAID, &[text]);
    }

    pub(crate) fn action(&self, action: &MessageAction) {
        self.put(ACTION, &[&format!("{action:?}")]);
    }

    pub(crate) fn verdict(&self, verdict: &Verdict) {
        match verdict {
            Verdict::Dunno => self.put(DUNNO, &[]),
            Verdict::Permit => self.put(PERMIT, &[]),
            Verdict::Reject(r) => self.said(&format!("refuses: {}", reply(r))),
            Verdict::DeferIfPermit(r) => {
                self.said(&format!("defers should everything else permit: {}", reply(r)));
            }
            Verdict::DeferIfReject(r) => self.said(&format!("defers should this list refuse: {}", reply(r))),
            Verdict::Found(found) => self.said(&format!("found \"{}\"", found.value)),
        }
    }
}

const LIST: u8 = b'L';
const CLASS: u8 = b'C';
const ASKED: u8 = b'A';
const FOUND: u8 = b'F';
const MISSED: u8 = b'M';
const FAILED: u8 = b'E';
const SAID: u8 = b'S';
const DUNNO: u8 = b'D';
const PERMIT: u8 = b'P';
const ACTION: u8 = b'!';
const CUT: u8 = b'+';

/// The steps on a tape. What makes no sense ends them.
pub fn steps(mut bytes: &[u8]) -> Vec<Step> {
    let mut out = Vec::new();
    while let Some((&tag, rest)) = bytes.split_first() {
        bytes = rest;
        let Some(step) = step(tag, &mut bytes) else { break };
        let last = step == Step::Cut;
        out.push(step);
        if last {
            break;
        }
    }
    out
}

fn step(tag: u8, bytes: &mut &[u8]) -> Option<Step> {
    let mut text = || take_text(bytes).map(str::to_owned);
    Some(match tag {
        LIST => Step::List(text()?),
        CLASS => Step::Class(text()?),
        ASKED => Step::Asked(text()?, text()?),
        FOUND => Step::Lookup(text()?, text()?, Ok(Some(text()?))),
        MISSED => Step::Lookup(text()?, text()?, Ok(None)),
        FAILED => Step::Lookup(text()?, text()?, Err(())),
        SAID => Step::Said(text()?),
        DUNNO => Step::Said("does not decide".to_owned()),
        PERMIT => Step::Said("permits: the rest of this list is left out".to_owned()),
        ACTION => Step::Action(text()?),
        CUT => Step::Cut,
        _ => return None,
    })
}

/// Two bytes of length, then the text; 64 KB at most.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = clipped(text, u16::MAX.into());
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The other way round.
pub(crate) fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

/// As much of the text as fits.
fn clipped(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

impl Facts<'_> {
    /// Something for whoever listens.
    pub(crate) fn tell(&self, step: impl FnOnce(&Tape)) {
        if let Some(tape) = self.tape {
            step(tape);
        }
    }
}

/// A refusal as the client sees it.
pub(crate) fn reply(r: &Refusal) -> String {
    format!("{} {} {}", r.code, r.status, r.text)
}

/// What follows a restriction's name.
fn argument(arg: &Arg) -> &str {
    match arg {
        Arg::Table(table) | Arg::CertTable(table, _) => table.spec(),
        Arg::Text(text) => text,
        Arg::Dns(list) => &list.text,
        Arg::Policy(server) => &server.spec,
        Arg::None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tapes() {
        let tape = Tape::new(200);
        tape.list("smtpd_client_restrictions");
        tape.asked("permit", &Arg::None);
        tape.verdict(&Verdict::Permit);
        tape.lookup("hash:x", "a", Ok(Some("OK")));
        tape.lookup("hash:x", "b", Ok(None));
        tape.lookup("hash:x", "c", Err(()));
        let bytes = tape.take();
        let want = [
            Step::List("smtpd_client_restrictions".into()),
            Step::Asked("permit".into(), String::new()),
            Step::Said("permits: the rest of this list is left out".into()),
            Step::Lookup("hash:x".into(), "a".into(), Ok(Some("OK".into()))),
            Step::Lookup("hash:x".into(), "b".into(), Ok(None)),
            Step::Lookup("hash:x".into(), "c".into(), Err(())),
        ];
        assert_eq!(steps(&bytes), want);
        // Cut anywhere: the steps so far.
        for end in 0..bytes.len() {
            let some = steps(&bytes[..end]);
            assert_eq!(some, want[..some.len()]);
        }
        assert!(tape.take().is_empty());
    }

    #[test]
    fn a_full_tape_says_so_and_grows_no_more() {
        let tape = Tape::new(100);
        tape.said("word");
        for _ in 0..1000 {
            tape.said(&"é".repeat(700));
        }
        let bytes = tape.take();
        assert_eq!(bytes.len(), 101);
        assert_eq!(steps(&bytes), [Step::Said("word".into()), Step::Cut]);
        let tape = Tape::new(5000);
        tape.said(&"é".repeat(700));
        assert_eq!(steps(&tape.take()), [Step::Said("é".repeat(500))]);
    }
}
