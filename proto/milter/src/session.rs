//! Where one filter stands, as a pure state machine: which events it gets, and what its answers mean.
//!
//! ```text
//! Open ──accept/reject at CONNECT or HELO──► Settled (until the connection ends)
//!   └─accept at MAIL and later, discard──► DoneWithMessage ──next message──► Open
//! any ──trouble──► Settled with the default action
//! ```

use crate::{Agreed, Answer, Edit, Event, negotiate::steps};

/// What is to become of a command or message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Verdict {
    /// Nothing.
    #[default]
    Continue,
    /// It is refused with this reply: `550 5.7.1 Command rejected`.
    Refuse(String),
    /// The client is told 421, and the connection ends.
    Shutdown,
    /// The message is taken and thrown away.
    Discard,
    /// The message is put on hold.
    Hold,
}

/// What to do for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing to send: this is the answer.
    Done(Verdict),
    /// Send it, and go on without an answer.
    Send,
    /// Send it and wait.
    Ask,
}

/// The session with one filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    agreed: Agreed,
    state: State,
    /// Body pieces are not wanted any more.
    skip_body: bool,
    /// A message has begun that the filter has not been told the end of.
    in_message: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Open,
    /// The same for everything until the connection ends.
    Settled(Verdict),
    /// The same until the message ends.
    DoneWithMessage(Verdict),
}

/// 5xx without words of its own.
const REJECTED: &str = "550 5.7.1 Command rejected";
/// 4xx without words of its own.
const LATER: &str = "451 4.7.1 Service unavailable - try again later";

impl Session {
    /// After negotiation.
    pub fn new(agreed: Agreed) -> Self {
        Self { agreed, state: State::Open, skip_body: false, in_message: false }
    }

    /// A filter that cannot be talked to.
    pub fn unusable(default: Verdict) -> Self {
        Self { state: State::Settled(default), ..Self::new(Agreed::default()) }
    }

    /// What was negotiated.
    pub fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// Whether recipients that were refused are told too.
    pub fn wants_rejected(&self) -> bool {
        self.agreed.has(steps::RCPT_REJECTED)
    }

    /// What it said for good, for commands that filters are not told.
    pub fn standing(&self) -> Verdict {
        match &self.state {
            State::Settled(v) => v.clone(),
            _ => Verdict::Continue,
        }
    }

    /// What to do for an event.
    pub fn next(&mut self, event: &Event<'_>) -> Next {
        match &self.state {
            State::Settled(v) | State::DoneWithMessage(v) => return Next::Done(v.clone()),
            State::Open => {}
        }
        if matches!(event, Event::Mail(_)) {
            self.in_message = true;
            self.skip_body = false;
        }
        let unwanted = self.skip_body && matches!(event, Event::Body(_));
        if unwanted || !event.is_wanted(self.agreed.version, self.agreed.steps) {
            return Next::Done(Verdict::Continue);
        }
        if event.is_answered(self.agreed.steps) { Next::Ask } else { Next::Send }
    }

    /// Takes an answer; `None`: more will follow. Edits are given to `edits`.
    pub fn answer(
        &mut self,
        event: &Event<'_>,
        answer: Answer,
        edits: &mut Vec<Edit>,
    ) -> Result<Option<Verdict>, String> {
        let last = matches!(event, Event::EndOfMessage);
        let verdict = match answer {
            Answer::Progress => return Ok(None),
            Answer::Edit(edit) if last => {
                edits.push(edit);
                return Ok(None);
            }
            Answer::Edit(_) | Answer::Options(_) => return Err("unexpected reply".to_owned()),
            Answer::Continue => Verdict::Continue,
            Answer::Skip => {
                self.skip_body |= matches!(event, Event::Body(_));
                Verdict::Continue
            }
            Answer::Accept => self.settle(event, Verdict::Continue),
            Answer::Discard => self.settle_message(Verdict::Discard),
            Answer::Reject => self.refuse(event, REJECTED.to_owned()),
            Answer::Tempfail | Answer::ConnectionFailed => self.refuse(event, LATER.to_owned()),
            Answer::Code(text) if is_reply(&text) => self.refuse(event, text),
            Answer::Code(text) => return Err(format!("malformed reply: {text}")),
            Answer::Shutdown => {
                self.state = State::Settled(Verdict::Shutdown);
                Verdict::Shutdown
            }
        };
        if last {
            self.in_message = false;
        }
        Ok(Some(verdict))
    }

    /// For the connection at CONNECT and HELO, else for the message.
    fn settle(&mut self, event: &Event<'_>, verdict: Verdict) -> Verdict {
        match event {
            Event::Connect { .. } | Event::Helo(_) => {
                self.state = State::Settled(verdict.clone());
                verdict
            }
            _ => self.settle_message(verdict),
        }
    }

    fn settle_message(&mut self, verdict: Verdict) -> Verdict {
        // The message that was thrown away needs to be said once only.
        self.state = State::DoneWithMessage(Verdict::Continue);
        verdict
    }

    fn refuse(&mut self, event: &Event<'_>, text: String) -> Verdict {
        let verdict = Verdict::Refuse(text);
        match event {
            Event::Connect { .. } | Event::Helo(_) => self.settle(event, verdict),
            _ if event.is_content() => self.settle_message(verdict),
            _ => verdict,
        }
    }

    /// The filter is gone, or makes no sense: the default action from now on.
    pub fn broken(&mut self, default: Verdict) -> Verdict {
        self.state = State::Settled(default.clone());
        self.in_message = false;
        default
    }

    /// The message is over, however it ended. True: the filter must be told (SMFIC_ABORT).
    pub fn end_message(&mut self) -> bool {
        if let State::DoneWithMessage(_) = self.state {
            self.state = State::Open;
        }
        self.skip_body = false;
        std::mem::take(&mut self.in_message)
    }

    /// Whether somebody is there to be told.
    pub fn is_usable(&self) -> bool {
        !matches!(&self.state, State::Settled(v) if *v != Verdict::Continue)
    }
}

/// A reply code of 4xx or 5xx, with text after it.
fn is_reply(text: &str) -> bool {
    matches!(text.as_bytes(), [b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Offer;

    fn session(steps: u32) -> Session {
        let mut data = Vec::new();
        for n in [6, 0, steps] {
            data.extend_from_slice(&u32::to_be_bytes(n));
        }
        Session::new(Offer::parse("6").unwrap().agree(&data).unwrap())
    }

    fn said(s: &mut Session, event: Event<'_>, answer: Answer) -> String {
        let mut edits = Vec::new();
        match s.next(&event) {
            Next::Ask => format!("{:?}", s.answer(&event, answer, &mut edits)),
            other => format!("{other:?}"),
        }
    }

    const MAIL: Event<'_> = Event::Mail(&["<a@b>"]);
    const RCPT: Event<'_> = Event::Rcpt(&["<a@b>"]);

    #[test]
    fn states() {
        let mut s = session(0);
        assert_eq!(said(&mut s, Event::Helo("c"), Answer::Continue), "Ok(Some(Continue))");
        assert_eq!(said(&mut s, MAIL, Answer::Reject), r#"Ok(Some(Refuse("550 5.7.1 Command rejected")))"#);
        assert!(s.end_message());
        assert_eq!(said(&mut s, MAIL, Answer::Accept), "Ok(Some(Continue))");
        assert_eq!(said(&mut s, RCPT, Answer::Reject), "Done(Continue)");
        assert!(s.end_message() && !s.end_message());
        assert_eq!(said(&mut s, MAIL, Answer::Continue), "Ok(Some(Continue))");
        assert_eq!(said(&mut s, RCPT, Answer::Code("421 x".into())), r#"Ok(Some(Refuse("421 x")))"#);
        assert_eq!(said(&mut s, RCPT, Answer::Code("250 x".into())), r#"Err("malformed reply: 250 x")"#);
        assert_eq!(said(&mut s, Event::Body(b"x"), Answer::Skip), "Ok(Some(Continue))");
        assert_eq!(said(&mut s, Event::Body(b"x"), Answer::Skip), "Done(Continue)");
        assert_eq!(said(&mut s, Event::EndOfMessage, Answer::Progress), "Ok(None)");
        assert_eq!(said(&mut s, Event::EndOfMessage, Answer::Continue), "Ok(Some(Continue))");
        assert!(!s.end_message());
        assert_eq!(said(&mut s, Event::Helo("d"), Answer::Tempfail), format!("Ok(Some(Refuse({LATER:?})))"));
        assert_eq!(said(&mut s, MAIL, Answer::Continue), format!("Done(Refuse({LATER:?}))"));
    }

    #[test]
    fn unwanted_and_unanswered() {
        let mut s = session(steps::NO_MAIL | steps::NR_RCPT | steps::RCPT_REJECTED);
        assert!(s.wants_rejected());
        assert_eq!(said(&mut s, MAIL, Answer::Reject), "Done(Continue)");
        assert_eq!(said(&mut s, RCPT, Answer::Reject), "Send");
        assert_eq!(s.broken(Verdict::Hold), Verdict::Hold);
        assert_eq!(said(&mut s, RCPT, Answer::Reject), "Done(Hold)");
        assert!(!s.is_usable() && !s.end_message());
    }

    #[test]
    fn changes_only_at_the_end() {
        let mut s = session(0);
        let edit = || Answer::Edit(Edit::DeleteRecipient("x".into()));
        let mut edits = Vec::new();
        assert!(s.answer(&MAIL, edit(), &mut edits).is_err());
        assert_eq!(s.answer(&Event::EndOfMessage, edit(), &mut edits), Ok(None));
        assert_eq!(edits.len(), 1);
    }
}
