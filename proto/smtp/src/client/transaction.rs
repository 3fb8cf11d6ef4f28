//! One message: MAIL, a RCPT for each recipient, DATA, the content, the dot.
//!
//! With PIPELINING all commands up to DATA go out at once and the replies are taken in order; without, one after the
//! other. What the server refuses is kept per recipient; the caller decides what to make of it. RFC 5321 4.1.1,
//! RFC 2920 3.1, RFC 2033 4.2 (one reply per accepted recipient after the dot).

use super::{MailParams, RcptParams, ServerReply, Stage};
use crate::{Features, Keyword};
use std::sync::Arc;

/// A reply that was not what we waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// In reply to what.
    pub stage: Stage,
    /// The reply. One reply to MAIL, DATA or the dot stands for all recipients it concerns.
    pub reply: Arc<ServerReply>,
}

impl Rejection {
    /// DATA was answered with 2xx: RFC 5321 knows no such reply.
    pub fn is_protocol_error(&self) -> bool {
        self.stage == Stage::Data && self.reply.class() == 2
    }
}

/// What the driver does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Call [`Transaction::commands`], send, then read the reply to this.
    Reply(Stage),
    /// The server waits for data: send the content and the dot, or only the dot when nobody is left to get it.
    Content {
        /// Send content.
        wanted: bool,
    },
    /// Nothing was accepted; the session needs RSET before the next transaction.
    Reset,
    /// Over; the session is ready for the next transaction.
    Done,
}

/// Where an address verification probe ends (`smtp_address_verify_target`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// After the replies to RCPT; RSET follows.
    Rcpt,
    /// After the reply to DATA; when it is positive the connection is cut.
    Data,
}

/// What became of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Not refused so far.
    Open,
    /// Accepted together with the content.
    Sent(Arc<ServerReply>),
    /// Refused.
    Refused(Rejection),
}

/// A transaction.
#[derive(Debug)]
pub struct Transaction<'a> {
    mail: MailParams<'a>,
    rcpts: Vec<RcptParams<'a>>,
    states: Vec<State>,
    pipelining: bool,
    dsn: bool,
    lmtp: bool,
    quote: bool,
    /// Only asks whether recipients are accepted.
    probe: Option<Probe>,
    features: &'a Features,
    /// The command whose reply comes next: 0 MAIL, 1.. RCPT, then DATA, then the dot.
    next_reply: usize,
    /// How many commands were written.
    written: usize,
    data_accepted: bool,
    /// LMTP: recipients that wait for a reply to the dot, in order.
    dots: std::collections::VecDeque<usize>,
    waiting: Waiting,
}

impl<'a> Transaction<'a> {
    /// A transaction that has not begun. `quote`: `smtp_quote_rfc821_envelope`.
    pub fn new(
        features: &'a Features,
        lmtp: bool,
        quote: bool,
        mail: MailParams<'a>,
        rcpts: Vec<RcptParams<'a>>,
    ) -> Self {
        Self {
            mail,
            states: vec![State::Open; rcpts.len()],
            rcpts,
            pipelining: features.has(Keyword::Pipelining),
            dsn: features.has(Keyword::Dsn),
            lmtp,
            quote,
            probe: None,
            features,
            next_reply: 0,
            written: 0,
            data_accepted: false,
            dots: std::collections::VecDeque::new(),
            waiting: Waiting::Reply(Stage::Mail),
        }
    }

    /// Ends after RCPT or after DATA; the last reply is the result.
    pub fn probe(self, at: Probe) -> Self {
        Self { probe: Some(at), ..self }
    }

    /// The server waits for content that never comes: the connection must be cut.
    pub fn must_cut(&self) -> bool {
        self.probe.is_some() && self.data_accepted
    }

    /// What to do next.
    pub fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// Whether the commands go out together.
    pub fn is_pipelined(&self) -> bool {
        self.pipelining
    }

    /// Whether DSN parameters were passed on, so that success reports are the server's business.
    pub fn passes_dsn(&self) -> bool {
        self.dsn
    }

    /// Appends the commands that may be sent now.
    pub fn commands(&mut self, out: &mut Vec<u8>) {
        let last = self.rcpts.len() + usize::from(self.probe != Some(Probe::Rcpt));
        let upto = if self.pipelining { last } else { self.next_reply };
        while self.written <= upto.min(last) {
            self.command(self.written, out);
            self.written += 1;
        }
    }

    fn command(&self, n: usize, out: &mut Vec<u8>) {
        match n.checked_sub(1) {
            None => self.mail.write(self.features, self.quote, out),
            Some(i) => match self.rcpts.get(i) {
                Some(r) => r.write(self.features, self.quote, out),
                None => out.extend_from_slice(b"DATA\r\n"),
            },
        }
    }

    /// Takes the reply that [`Self::waiting`] asked for.
    pub fn reply(&mut self, reply: ServerReply) {
        let Waiting::Reply(stage) = self.waiting else { return };
        let reply = Arc::new(reply);
        match stage {
            Stage::Mail => self.mail_reply(reply),
            Stage::Rcpt => self.rcpt_reply(reply),
            Stage::Data => self.data_reply(reply),
            _ => return self.dot_reply(reply),
        }
        self.next_reply += 1;
        self.waiting = self.next();
    }

    fn mail_reply(&mut self, reply: Arc<ServerReply>) {
        if reply.class() != 2 {
            self.refuse_open(Stage::Mail, &reply);
        }
    }

    fn rcpt_reply(&mut self, reply: Arc<ServerReply>) {
        let at = self.next_reply - 1;
        let Some(s) = self.states.get_mut(at).filter(|s| **s == State::Open) else { return };
        if reply.class() != 2 {
            *s = State::Refused(Rejection { stage: Stage::Rcpt, reply });
        } else if self.probe == Some(Probe::Rcpt) {
            *s = State::Sent(reply);
        }
    }

    fn data_reply(&mut self, reply: Arc<ServerReply>) {
        self.data_accepted = reply.class() == 3;
        if !self.data_accepted {
            self.refuse_open(Stage::Data, &reply);
        } else if self.probe.is_some() {
            let open = self.states.iter_mut().filter(|s| **s == State::Open);
            open.for_each(|s| *s = State::Sent(reply.clone()));
        }
    }

    fn refuse_open(&mut self, stage: Stage, reply: &Arc<ServerReply>) {
        for s in self.states.iter_mut().filter(|s| **s == State::Open) {
            *s = State::Refused(Rejection { stage, reply: reply.clone() });
        }
    }

    /// After the replies to MAIL, RCPT and DATA.
    fn next(&self) -> Waiting {
        let anybody = self.states.contains(&State::Open);
        let rcpts = self.rcpts.len();
        let refused = !self.states.iter().any(|s| matches!(s, State::Open | State::Sent(_)));
        if refused && !self.pipelining && !self.data_accepted {
            return Waiting::Reset;
        }
        match self.next_reply {
            n if n <= rcpts => Waiting::Reply(Stage::Rcpt),
            _ if self.probe == Some(Probe::Rcpt) => Waiting::Reset,
            n if n == rcpts + 1 => Waiting::Reply(Stage::Data),
            _ if self.must_cut() => Waiting::Done,
            _ if self.data_accepted => Waiting::Content { wanted: anybody },
            _ => Waiting::Reset,
        }
    }

    /// The content and the dot are on their way.
    pub fn content_sent(&mut self) {
        let open = self.states.iter().enumerate().filter(|(_, s)| **s == State::Open).map(|(i, _)| i);
        self.dots = open.collect();
        // A dot without recipients is answered once by an SMTP server, not at all by LMTP.
        self.waiting =
            if self.lmtp && self.dots.is_empty() { Waiting::Done } else { Waiting::Reply(Stage::Dot) };
    }

    fn dot_reply(&mut self, reply: Arc<ServerReply>) {
        if !self.lmtp {
            let all = std::mem::take(&mut self.dots);
            all.into_iter().for_each(|i| self.dot_result(i, &reply));
        } else if let Some(i) = self.dots.pop_front() {
            self.dot_result(i, &reply);
        }
        if self.dots.is_empty() {
            self.waiting = Waiting::Done;
        }
    }

    fn dot_result(&mut self, i: usize, reply: &Arc<ServerReply>) {
        let done = match reply.class() {
            2 => State::Sent(reply.clone()),
            _ => State::Refused(Rejection { stage: Stage::Dot, reply: reply.clone() }),
        };
        if let Some(s) = self.states.get_mut(i) {
            *s = done;
        }
    }

    /// What became of a recipient: the reply that accepted it together with the content, the rejection, or `None` when
    /// neither happened (the connection broke).
    pub fn result(&self, i: usize) -> Option<Result<&Arc<ServerReply>, &Rejection>> {
        match self.states.get(i)? {
            State::Open => None,
            State::Sent(r) => Some(Ok(r)),
            State::Refused(r) => Some(Err(r)),
        }
    }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
