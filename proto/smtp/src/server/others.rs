//! RSET, QUIT, VRFY, ETRN, XCLIENT, XFORWARD, and what is no command.

use super::{
    Ask, Next, Note, Session,
    session::{OK, Pending, Refused, SEQUENCE, sequence},
};
use crate::{Command, Reply, Syntax, Verb, command::is_foreign};
use proto_address::{literal_address, valid_hostname};
use proto_dsn::Status;

impl Session {
    // The rest.

    pub(super) fn rset(&mut self, rest: &str) -> Refused {
        Command::with_arguments(Verb::Rset, rest).map_err(Syntax::reply)?;
        self.reset();
        Ok(self.accept(Reply::new(250, OK, "Ok")))
    }

    pub(super) fn quit(&mut self) -> Next {
        self.reset();
        self.accept(Reply::new(221, OK, "Bye"));
        Next::Close { reply: Reply::new(221, OK, "Bye"), too_many_errors: None }
    }

    pub(super) fn vrfy(&mut self, rest: &str) -> Refused {
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

    pub(super) fn etrn(&mut self, rest: &str) -> Refused {
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
        if !valid_hostname(name) && literal_address(name).is_none() {
            return Err(Reply::plain(501, "Error: invalid parameter syntax"));
        }
        Ok(self.ask(Pending::Other, Ask::Etrn(name.to_owned())))
    }

    pub(super) fn xclient(&mut self, rest: &str) -> Refused {
        if self.transaction.is_some() {
            return Err(sequence("Error: MAIL transaction in progress"));
        }
        if !self.settings.xclient && !rest.trim().is_empty() {
            return Err(not_authorized());
        }
        let Command::Xclient(list) = Command::with_arguments(Verb::Xclient, rest).map_err(Syntax::reply)?
        else {
            return Err(Syntax::Arguments(Verb::Xclient).reply());
        };
        Ok(self.ask(Pending::Other, Ask::Xclient(list)))
    }

    pub(super) fn xforward(&mut self, rest: &str) -> Refused {
        if self.transaction.is_some() {
            return Err(sequence("Error: MAIL transaction in progress"));
        }
        if !self.settings.xforward && !rest.trim().is_empty() {
            return Err(not_authorized());
        }
        let Command::Xforward(list) = Command::with_arguments(Verb::Xforward, rest).map_err(Syntax::reply)?
        else {
            return Err(Syntax::Arguments(Verb::Xforward).reply());
        };
        Ok(self.ask(Pending::Other, Ask::Xforward(list)))
    }

    pub(super) fn unknown(&mut self, line: &str) -> Refused {
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

fn not_authorized() -> Reply {
    Reply::new(550, Status::new(5, 7, 0), "Error: insufficient authorization")
}
