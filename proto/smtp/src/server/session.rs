//! The session itself. See the module for its contract.

use super::{
    Ask, BdatState, Counters, MailParams, Next, Note, Settings, Transaction, Verdict,
    envelope::bad_address_reply,
};
use crate::{Keyword, Reply, Syntax, Verb, command::Chunk};
use proto_dsn::Status;

/// One client's session.
#[derive(Debug, Clone)]
pub struct Session {
    pub(super) settings: Settings,
    /// HELO name as logged; `None` before HELO and after a refused one.
    pub(super) helo: Option<String>,
    /// EHLO was accepted at some time.
    esmtp: bool,
    /// The client has logged in.
    pub(super) authenticated: bool,
    pub(super) transaction: Option<Box<Transaction>>,
    pub(super) bdat: BdatState,
    /// The client was refused when it connected: this is said to all it wants.
    denied: Option<Reply>,
    pub(super) pending: Pending,
    verb: Option<Verb>,
    pub(super) counters: Counters,
    pub(super) notes: Vec<Note>,
}

/// The question that is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Pending {
    #[default]
    Nothing,
    Helo(String, bool),
    Mail(Box<MailParams>),
    Rcpt(String),
    Data,
    Vrfy(String),
    Other,
    Chunk(Chunk, Option<Reply>),
}

pub(super) const OK: Status = Status::new(2, 0, 0);
/// RFC 5321 4.1.1.8.
const HELP: &str = "Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY ETRN HELP QUIT";
pub(super) const SEQUENCE: Status = Status::new(5, 5, 1);

/// `503 5.5.1`: a command out of sequence.
pub(super) fn sequence(text: &str) -> Reply {
    Reply::new(503, SEQUENCE, text)
}

/// What a command comes to: the next thing to do, or the refusal.
pub(super) type Refused = Result<Next, Reply>;

impl Session {
    /// A session whose client has just connected.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            helo: None,
            esmtp: false,
            authenticated: false,
            transaction: None,
            bdat: BdatState::None,
            denied: None,
            pending: Pending::Nothing,
            verb: None,
            counters: Counters::default(),
            notes: Vec::new(),
        }
    }

    /// From now on only QUIT is answered; the rest gets `reply`. For a client that was refused when it connected.
    pub fn deny(&mut self, reply: Reply) {
        self.denied = Some(reply);
    }

    /// Other settings: after XCLIENT the client is another one, and everything starts over but the counters.
    pub fn restart(&mut self, settings: Settings) {
        let counters = std::mem::take(&mut self.counters);
        let verb = self.verb;
        *self = Self { counters, verb, ..Self::new(settings) };
    }

    /// The HELO name and protocol of a client that another one speaks for (XCLIENT).
    pub fn assume(&mut self, helo: Option<String>, esmtp: Option<bool>) {
        self.helo = helo.or(self.helo.take());
        self.esmtp = esmtp.unwrap_or(self.esmtp);
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The HELO name, with unusual characters as `?`.
    pub fn helo(&self) -> Option<&str> {
        self.helo.as_deref()
    }

    /// `ESMTP` or `SMTP`.
    pub fn protocol(&self) -> &'static str {
        if self.esmtp { "ESMTP" } else { "SMTP" }
    }

    /// The transaction in progress.
    pub fn transaction(&self) -> Option<&Transaction> {
        self.transaction.as_deref()
    }

    /// The last command; `None` when there was none.
    pub fn last_verb(&self) -> Option<Verb> {
        self.verb
    }

    /// Statistics and errors.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether the replies are to be delayed.
    pub fn is_slow(&self) -> bool {
        self.counters.is_slow(&self.settings.limits)
    }

    /// Things for the log since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Whether input after this line is improper: the client did not wait for the answer although it must. Of commands
    /// that do not exist nothing is expected.
    pub fn must_wait_after(&self, line: &[u8]) -> bool {
        let verb = std::str::from_utf8(line).ok().and_then(Verb::of).map_or(Verb::Unknown, |(v, _)| v);
        verb != Verb::Unknown
            && (!self.esmtp || self.settings.discarded.has(Keyword::Pipelining) || verb.ends_a_group())
    }

    /// Takes note of the verb without running the command: it was refused before it was looked at.
    pub fn begin(&mut self, line: &[u8]) {
        let verb = std::str::from_utf8(line).ok().and_then(Verb::of).map_or(Verb::Unknown, |(v, _)| v);
        self.start(verb);
    }

    /// A word of `smtpd_noop_commands`: answered, not counted.
    pub fn ignored(&mut self) -> Next {
        self.pending = Pending::Nothing;
        self.verb = None;
        self.counters.junk(&self.settings.limits);
        self.said(Reply::new(250, OK, "Ok"))
    }

    pub(super) fn start(&mut self, verb: Verb) {
        self.verb = Some(verb);
        self.counters.began(verb);
        if matches!(verb, Verb::Noop | Verb::Vrfy | Verb::Etrn | Verb::Rset | Verb::Help) {
            self.counters.junk(&self.settings.limits);
        }
    }

    /// Takes a command line without its line end.
    pub fn command(&mut self, line: &[u8]) -> Next {
        self.pending = Pending::Nothing;
        let Ok(line) = std::str::from_utf8(line) else {
            return self.refuse(Reply::new(500, Status::new(5, 5, 2), "Error: bad UTF-8 syntax"));
        };
        let Some((verb, rest)) = Verb::of(line) else { return self.refuse(Syntax::Empty.reply()) };
        self.start(verb);
        let result = match &self.denied {
            Some(reply) if verb != Verb::Quit => Err(reply.clone()),
            _ if self.settings.must_encrypt && !self.settings.encrypted && !verb.is_for_plaintext() => {
                Err(Reply::new(530, Status::new(5, 7, 0), "Must issue a STARTTLS command first"))
            }
            _ => self.dispatch(verb, rest, line),
        };
        result.unwrap_or_else(|reply| self.refuse(reply))
    }

    fn dispatch(&mut self, verb: Verb, rest: &str, line: &str) -> Refused {
        match verb {
            Verb::Helo | Verb::Ehlo => self.helo_command(verb, rest),
            Verb::Mail => self.mail(rest),
            Verb::Rcpt => self.rcpt(rest),
            Verb::Data => self.data(rest),
            Verb::Bdat => self.bdat(rest, line),
            Verb::Rset => self.rset(rest),
            Verb::Noop => Ok(self.accept(Reply::new(250, OK, "Ok"))),
            Verb::Quit => Ok(self.quit()),
            Verb::Vrfy => self.vrfy(rest),
            Verb::Etrn => self.etrn(rest),
            Verb::Xclient => self.xclient(rest),
            Verb::Xforward => self.xforward(rest),
            Verb::StartTls => self.starttls(rest),
            Verb::Auth => self.auth(rest),
            Verb::Help => Ok(self.accept(Reply::new(214, OK, HELP))),
            Verb::Unknown => self.unknown(line),
        }
    }

    // Answers.

    pub(super) fn accept(&mut self, reply: Reply) -> Next {
        if let Some(verb) = self.verb {
            self.counters.succeeded(verb);
        }
        self.said(reply)
    }

    pub(super) fn refuse(&mut self, reply: Reply) -> Next {
        self.counters.error();
        self.said(reply)
    }

    /// The reply, or the end: 421 and 521 always close, and so does the hard error limit.
    pub(super) fn said(&mut self, reply: Reply) -> Next {
        let over = self.counters.is_over(&self.settings.limits);
        let closing = matches!(reply.code, 421 | 521);
        if !over && !closing {
            return Next::Reply(reply);
        }
        let last = Reply::new(
            421,
            Status::new(4, 7, 0),
            format!("{} Error: too many errors", self.settings.hostname),
        );
        Next::Close { reply, too_many_errors: (over && !closing).then_some(last) }
    }

    pub(super) fn ask(&mut self, pending: Pending, ask: Ask) -> Next {
        self.pending = pending;
        Next::Ask(ask)
    }

    /// The answer to [`Next::Ask`]. For [`Ask::Data`] accepted: the reply is 354, and the content follows.
    pub fn answer(&mut self, verdict: Verdict) -> Next {
        let pending = std::mem::take(&mut self.pending);
        match verdict {
            Verdict::Accept => self.accepted(pending),
            Verdict::Say(reply) => {
                self.established(pending);
                self.accept(reply)
            }
            Verdict::Refuse(reply) => self.refuse(reply),
            Verdict::BadAddress => self.bad_address(&pending),
        }
    }

    fn accepted(&mut self, pending: Pending) -> Next {
        let reply = match &pending {
            Pending::Helo(_, esmtp) => self.greeting(*esmtp),
            Pending::Mail(_) => Reply::new(250, Status::new(2, 1, 0), "Ok"),
            Pending::Rcpt(_) => Reply::new(250, Status::new(2, 1, 5), "Ok"),
            Pending::Data => {
                self.pending = Pending::Data;
                return Next::Reply(Reply::plain(354, "End data with <CR><LF>.<CR><LF>"));
            }
            Pending::Vrfy(text) => Reply::new(252, OK, text.clone()),
            _ => Reply::new(250, OK, "Ok"),
        };
        self.established(pending);
        self.accept(reply)
    }

    fn greeting(&self, esmtp: bool) -> Reply {
        let mut reply = Reply::plain(250, self.settings.hostname.clone());
        if esmtp {
            reply.lines.extend(self.settings.ehlo_lines());
        }
        reply
    }

    fn established(&mut self, pending: Pending) {
        match pending {
            Pending::Helo(name, esmtp) => {
                self.helo = Some(name);
                self.esmtp |= esmtp;
            }
            Pending::Mail(mail) => {
                self.transaction = Some(Box::new(Transaction { mail: *mail, recipients: 0, overshoot: 0 }));
            }
            Pending::Rcpt(_) => {
                if let Some(t) = &mut self.transaction {
                    t.recipients = t.recipients.saturating_add(1);
                }
            }
            _ => {}
        }
    }

    fn bad_address(&mut self, pending: &Pending) -> Next {
        let (verb, text) = match pending {
            Pending::Mail(m) => (Verb::Mail, &m.text),
            Pending::Rcpt(text) => (Verb::Rcpt, text),
            Pending::Vrfy(text) => (Verb::Vrfy, text),
            _ => return self.refuse(Syntax::Empty.reply()),
        };
        self.notes.push(Note::BadAddress(verb, text.clone()));
        self.refuse(bad_address_reply(verb))
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
