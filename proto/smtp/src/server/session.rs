//! The session itself. See the module for its contract.

use super::{
    Ask, BdatState, Counters, MailParams, Next, Note, RcptParams, Settings, Transaction, Verdict,
    params::BadParam,
};
use crate::{
    Command, Keyword, Reply, Syntax, Verb,
    command::{Chunk, PathCommand, is_foreign},
};
use proto_address::{PathRules, parse_path};
use proto_dsn::Status;

/// One client's session.
#[derive(Debug, Clone)]
pub struct Session {
    settings: Settings,
    /// HELO name as logged; `None` before HELO and after a refused one.
    helo: Option<String>,
    /// EHLO was accepted at some time.
    esmtp: bool,
    transaction: Option<Box<Transaction>>,
    bdat: BdatState,
    /// The client was refused when it connected: this is said to all it wants.
    denied: Option<Reply>,
    pending: Pending,
    verb: Option<Verb>,
    counters: Counters,
    notes: Vec<Note>,
}

/// The question that is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Pending {
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

const OK: Status = Status::new(2, 0, 0);
const SEQUENCE: Status = Status::new(5, 5, 1);

fn sequence(text: &str) -> Reply {
    Reply::new(503, SEQUENCE, text)
}

fn need_rcpt() -> Reply {
    sequence("Error: need RCPT command")
}

fn not_implemented(code: u16) -> Reply {
    Reply::new(code, SEQUENCE, "Error: command not implemented")
}

fn not_authorized() -> Reply {
    Reply::new(550, Status::new(5, 7, 0), "Error: insufficient authorization")
}

type Refused = Result<Next, Reply>;

impl Session {
    /// A session whose client has just connected.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            helo: None,
            esmtp: false,
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

    /// Whether input after this line is improper: the client did not wait for the answer although it must.
    pub fn must_wait_after(&self, line: &[u8]) -> bool {
        let verb = std::str::from_utf8(line).ok().and_then(Verb::of).map_or(Verb::Unknown, |(v, _)| v);
        !self.esmtp || verb.ends_a_group()
    }

    /// Takes note of the verb without running the command: it was refused before it was looked at.
    pub fn begin(&mut self, line: &[u8]) {
        let verb = std::str::from_utf8(line).ok().and_then(Verb::of).map_or(Verb::Unknown, |(v, _)| v);
        self.start(counted(verb));
    }

    fn start(&mut self, verb: Verb) {
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
        self.start(counted(verb));
        let result = match &self.denied {
            Some(reply) if verb != Verb::Quit => Err(reply.clone()),
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
            Verb::StartTls | Verb::Auth => {
                Ok(self.ask(Pending::Other, Ask::Other(verb, rest.trim().to_owned())))
            }
            Verb::Help | Verb::Unknown => self.unknown(line),
        }
    }

    // Answers.

    fn accept(&mut self, reply: Reply) -> Next {
        if let Some(verb) = self.verb {
            self.counters.succeeded(verb);
        }
        self.said(reply)
    }

    fn refuse(&mut self, reply: Reply) -> Next {
        self.counters.error();
        self.said(reply)
    }

    /// The reply, or the end: 421 and 521 always close, and so does the hard error limit.
    fn said(&mut self, reply: Reply) -> Next {
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

    fn ask(&mut self, pending: Pending, ask: Ask) -> Next {
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

    // HELO.

    fn helo_command(&mut self, verb: Verb, rest: &str) -> Refused {
        let name = match Command::with_arguments(verb, rest).map_err(Syntax::reply)? {
            Command::Helo(name) | Command::Ehlo(name) => name,
            _ => return Err(Syntax::Arguments(verb).reply()),
        };
        self.reset();
        let name = neutral(&name);
        let esmtp = verb == Verb::Ehlo;
        self.helo = None;
        Ok(self.ask(Pending::Helo(name.clone(), esmtp), Ask::Helo { name, esmtp }))
    }

    // MAIL and RCPT.

    fn mail(&mut self, rest: &str) -> Refused {
        if self.settings.helo_required && self.helo.is_none() {
            return Err(sequence("Error: send HELO/EHLO first"));
        }
        if self.transaction.is_some() {
            return Err(sequence("Error: nested MAIL command"));
        }
        if self.bdat != BdatState::None {
            return Err(sequence("Error: MAIL after BDAT"));
        }
        let Ok(Command::Mail(PathCommand { path, params })) = Command::with_arguments(Verb::Mail, rest)
        else {
            return Err(Syntax::Arguments(Verb::Mail).reply());
        };
        let mut mail = MailParams { text: path.to_owned(), ..MailParams::default() };
        for p in &params {
            mail.add(p, &self.settings)?;
        }
        mail.sender = self.address(Verb::Mail, path)?;
        self.check_utf8(Verb::Mail, &mail.sender, path, mail.smtputf8)?;
        self.check_size(&mail)?;
        Ok(self.ask(Pending::Mail(Box::new(mail.clone())), Ask::Mail(mail)))
    }

    fn check_size(&mut self, mail: &MailParams) -> Result<(), Reply> {
        let limit = self.settings.size_limit;
        if limit == 0 || mail.size <= limit {
            return Ok(());
        }
        let reply = Reply::new(552, Status::new(5, 3, 4), "Message size exceeds fixed limit");
        self.notes.push(Note::SizeRejected(reply.clone(), mail.sender.clone()));
        Err(reply)
    }

    fn rcpt(&mut self, rest: &str) -> Refused {
        let Some(t) = self.transaction.as_deref() else { return Err(sequence("Error: need MAIL command")) };
        let smtputf8 = t.mail.smtputf8;
        if self.bdat != BdatState::None {
            return Err(sequence("Error: RCPT after BDAT"));
        }
        let Ok(Command::Rcpt(PathCommand { path, params })) = Command::with_arguments(Verb::Rcpt, rest)
        else {
            return Err(Syntax::Arguments(Verb::Rcpt).reply());
        };
        let recipient = self.address(Verb::Rcpt, path)?;
        self.check_utf8(Verb::Rcpt, &recipient, path, smtputf8)?;
        let mut rcpt = RcptParams { recipient, text: path.to_owned(), ..RcptParams::default() };
        for p in &params {
            rcpt.add(p, &self.settings, smtputf8).map_err(|e| self.bad_param(e))?;
        }
        if let Some(next) = self.too_many_recipients() {
            return Ok(next);
        }
        Ok(self.ask(Pending::Rcpt(path.to_owned()), Ask::Rcpt(rcpt)))
    }

    fn bad_param(&mut self, e: BadParam) -> Reply {
        match e {
            BadParam::Reply(reply) => reply,
            BadParam::Notify(reply, word, all) => {
                self.notes.push(Note::BadNotify(word, all));
                reply
            }
        }
    }

    fn too_many_recipients(&mut self) -> Option<Next> {
        let limits = self.settings.limits;
        let t = self.transaction.as_deref_mut()?;
        if t.recipients < limits.recipients {
            return None;
        }
        t.overshoot = t.overshoot.saturating_add(1);
        let within = t.overshoot <= limits.recipient_overshoot;
        let reply = Reply::new(452, Status::new(4, 5, 3), "Error: too many recipients");
        Some(if within { self.accept(reply) } else { self.refuse(reply) })
    }

    /// The address in internal form, without its source route.
    fn address(&mut self, verb: Verb, path: &str) -> Result<String, Reply> {
        let rules = PathRules { strict: self.settings.strict_envelopes, allow_empty: verb == Verb::Mail };
        if path.starts_with('<') && !path.contains('>') {
            return Err(bad_address_reply(verb));
        }
        match parse_path(path, rules) {
            Ok(address) => Ok(without_route(&address).to_owned()),
            Err(_) => {
                self.notes.push(Note::BadAddress(verb, path.to_owned()));
                Err(bad_address_reply(verb))
            }
        }
    }

    /// RFC 6531: a domain in UTF-8 needs SMTPUTF8; with `strict_smtputf8` everything in UTF-8 does.
    fn check_utf8(&mut self, verb: Verb, address: &str, path: &str, said: bool) -> Result<(), Reply> {
        if said || address.is_ascii() || !self.settings.smtputf8 {
            return Ok(());
        }
        let domain_is_ascii = address.rsplit_once('@').is_none_or(|(_, d)| d.is_ascii());
        if domain_is_ascii && !self.settings.strict_smtputf8 {
            return Ok(());
        }
        self.notes.push(Note::BadAddress(verb, path.to_owned()));
        Err(bad_address_reply(verb))
    }

    // Content.

    fn data(&mut self, rest: &str) -> Refused {
        if self.bdat != BdatState::None {
            return Err(sequence("Error: DATA after BDAT"));
        }
        match self.transaction.as_deref() {
            None => return Err(need_rcpt()),
            Some(t) if t.recipients == 0 => return Err(no_recipients()),
            Some(_) => {}
        }
        Command::with_arguments(Verb::Data, rest).map_err(Syntax::reply)?;
        Ok(self.ask(Pending::Data, Ask::Data))
    }

    /// The content of DATA is in, and this became of it. The transaction is over.
    pub fn data_done(&mut self, result: Result<Reply, Reply>) -> Next {
        self.reset();
        match result {
            Ok(reply) => {
                self.counters.forgive();
                self.accept(reply)
            }
            Err(reply) => self.refuse(reply),
        }
    }

    fn bdat(&mut self, rest: &str, line: &str) -> Refused {
        if self.settings.discarded.has(Keyword::Chunking) {
            return Err(not_implemented(521));
        }
        let chunk = match Command::with_arguments(Verb::Bdat, rest) {
            Ok(Command::Bdat(chunk)) => chunk,
            _ => {
                self.notes.push(Note::BadChunk(line.to_owned()));
                return Err(Syntax::Arguments(Verb::Bdat).reply());
            }
        };
        let refused = self.chunk_refused(chunk);
        let first = refused.is_none() && self.bdat == BdatState::None;
        self.bdat = if refused.is_some() { BdatState::Failed } else { BdatState::Open };
        self.pending = Pending::Chunk(chunk, refused.clone());
        Ok(Next::Chunk { chunk, refused, first })
    }

    fn chunk_refused(&mut self, chunk: Chunk) -> Option<Reply> {
        if chunk.size == 0 && !chunk.last {
            self.notes.push(Note::NullChunk);
            return Some(Reply::new(551, Status::new(5, 7, 1), "Null BDAT request"));
        }
        if self.bdat == BdatState::Failed {
            let text = format!("Discarded {} bytes after earlier error", chunk.size);
            return Some(Reply::new(551, Status::new(5, 0, 0), text));
        }
        match self.transaction.as_deref() {
            None => return Some(need_rcpt()),
            Some(t) if t.recipients == 0 => return Some(no_recipients()),
            Some(_) => {}
        }
        let limit = self.settings.size_limit;
        if limit > 0 && chunk.size > limit {
            self.notes.push(Note::LargeChunk);
            return Some(Reply::new(552, Status::new(5, 3, 4), "Chunk exceeds message size limit"));
        }
        None
    }

    /// The chunk of [`Next::Chunk`] is in (or thrown away). `result`: `Ok(Some)` is the answer to the message as a whole
    /// after the last chunk, `Ok(None)` more is to come, `Err` it failed now.
    pub fn chunk_done(&mut self, result: Result<Option<Reply>, Reply>) -> Next {
        let Pending::Chunk(chunk, refused) = std::mem::take(&mut self.pending) else {
            return self.refuse(need_rcpt());
        };
        let result = refused.map_or(result, Err);
        if result.is_err() {
            self.bdat = BdatState::Failed;
        }
        if chunk.last {
            self.reset();
        }
        match result {
            Err(reply) => self.refuse(reply),
            Ok(None) => self.accept(Reply::new(250, OK, format!("Ok: {} bytes", chunk.size))),
            Ok(Some(reply)) => {
                self.counters.forgive();
                self.accept(reply)
            }
        }
    }

    fn reset(&mut self) {
        self.transaction = None;
        self.bdat = BdatState::None;
    }

    // The rest.

    fn rset(&mut self, rest: &str) -> Refused {
        Command::with_arguments(Verb::Rset, rest).map_err(Syntax::reply)?;
        self.reset();
        Ok(self.accept(Reply::new(250, OK, "Ok")))
    }

    fn quit(&mut self) -> Next {
        self.reset();
        self.accept(Reply::new(221, OK, "Bye"));
        Next::Close { reply: Reply::new(221, OK, "Bye"), too_many_errors: None }
    }

    fn vrfy(&mut self, rest: &str) -> Refused {
        if self.settings.disable_vrfy {
            return Err(Reply::new(502, SEQUENCE, "VRFY command is disabled"));
        }
        let Command::Vrfy(text, said) = Command::with_arguments(Verb::Vrfy, rest).map_err(Syntax::reply)?
        else {
            return Err(Syntax::Arguments(Verb::Vrfy).reply());
        };
        let address = self.address(Verb::Vrfy, &text)?;
        self.check_utf8(Verb::Vrfy, &address, &text, said)?;
        Ok(self.ask(Pending::Vrfy(text.clone()), Ask::Vrfy { address, text }))
    }

    fn etrn(&mut self, rest: &str) -> Refused {
        if self.settings.helo_required && self.helo.is_none() {
            return Err(Reply::plain(503, "Error: send HELO/EHLO first"));
        }
        if self.transaction.is_some() {
            return Err(Reply::plain(503, "Error: MAIL transaction in progress"));
        }
        let Command::Etrn(name) = Command::with_arguments(Verb::Etrn, rest).map_err(Syntax::reply)? else {
            return Err(Syntax::Arguments(Verb::Etrn).reply());
        };
        let name = name.strip_prefix(['@', '#']).unwrap_or(name);
        if name.is_empty() {
            return Err(Reply::plain(501, "Error: invalid parameter syntax"));
        }
        Ok(self.ask(Pending::Other, Ask::Etrn(name.to_owned())))
    }

    fn xclient(&mut self, rest: &str) -> Refused {
        if self.transaction.is_some() {
            return Err(sequence("Error: MAIL transaction in progress"));
        }
        if !self.settings.xclient {
            return Err(not_authorized());
        }
        let Command::Xclient(list) = Command::with_arguments(Verb::Xclient, rest).map_err(Syntax::reply)?
        else {
            return Err(Syntax::Arguments(Verb::Xclient).reply());
        };
        Ok(self.ask(Pending::Other, Ask::Xclient(list)))
    }

    fn xforward(&mut self, rest: &str) -> Refused {
        if self.transaction.is_some() {
            return Err(sequence("Error: MAIL transaction in progress"));
        }
        if !self.settings.xforward {
            return Err(not_authorized());
        }
        let Command::Xforward(list) = Command::with_arguments(Verb::Xforward, rest).map_err(Syntax::reply)?
        else {
            return Err(Syntax::Arguments(Verb::Xforward).reply());
        };
        Ok(self.ask(Pending::Other, Ask::Xforward(list)))
    }

    fn unknown(&mut self, line: &str) -> Refused {
        if is_foreign(line) {
            self.notes.push(Note::Foreign(line.to_owned()));
            return Ok(self.goodbye());
        }
        Err(Reply::new(500, Status::new(5, 5, 2), "Error: command not recognized"))
    }

    /// The last word to a client that speaks something else (`smtpd_forbidden_commands` too).
    pub fn goodbye(&mut self) -> Next {
        self.counters.error();
        let reply = Reply::new(221, Status::new(2, 7, 0), "Error: I can break rules, too. Goodbye.");
        Next::Close { reply, too_many_errors: None }
    }
}

/// HELP is not one of the commands yet that are counted by themselves.
fn counted(verb: Verb) -> Verb {
    if verb == Verb::Help { Verb::Unknown } else { verb }
}

fn no_recipients() -> Reply {
    Reply::new(554, SEQUENCE, "Error: no valid recipients")
}

fn bad_address_reply(verb: Verb) -> Reply {
    match verb {
        Verb::Mail => Reply::new(501, Status::new(5, 1, 7), "Bad sender address syntax"),
        _ => Reply::new(501, Status::new(5, 1, 3), "Bad recipient address syntax"),
    }
}

/// `user@example.com` of `@a,@b:user@example.com`.
fn without_route(address: &str) -> &str {
    match address.strip_prefix('@').and_then(|r| r.split_once(':')) {
        Some((_, rest)) => rest,
        None => address,
    }
}

/// A name for logs and tables: characters with a meaning in headers become `?`.
fn neutral(name: &str) -> String {
    let odd = |c: char| c.is_control() || " <>()\\\";@".contains(c);
    name.chars().map(|c| if odd(c) { '?' } else { c }).collect()
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
