//! STARTTLS (RFC 3207) and AUTH (RFC 4954): when they may come, and what they change.

use super::{
    Ask, Next, Session, Settings,
    session::{Pending, Refused, SEQUENCE, sequence},
};
use crate::{Command, Keyword, Reply, Syntax, Verb};
use proto_dsn::Status;

impl Session {
    pub(super) fn starttls(&mut self, rest: &str) -> Refused {
        Command::with_arguments(Verb::StartTls, rest).map_err(Syntax::reply)?;
        let s = &self.settings;
        if s.encrypted {
            return Err(Reply::new(554, SEQUENCE, "Error: TLS already active"));
        }
        if !s.starttls || s.discarded.has(Keyword::StartTls) {
            return Err(Reply::new(502, SEQUENCE, "Error: command not implemented"));
        }
        Ok(self.ask(Pending::Other, Ask::StartTls))
    }

    /// The handshake is done: everything but the counters starts over (RFC 3207 4.2).
    pub fn tls_started(&mut self, settings: Settings) -> Next {
        self.restart(settings);
        if let Some(verb) = self.last_verb() {
            self.counters.succeeded(verb);
        }
        Next::Silence
    }

    pub(super) fn auth(&mut self, rest: &str) -> Refused {
        let s = &self.settings;
        if s.helo_required && self.helo.is_none() {
            return Err(sequence("Error: send HELO/EHLO first"));
        }
        if s.auth.is_none() || s.discarded.has(Keyword::Auth) {
            return Err(sequence("Error: authentication not enabled"));
        }
        if self.transaction.is_some() {
            return Err(sequence("Error: MAIL transaction in progress"));
        }
        Ok(self.ask(Pending::Other, Ask::Auth(rest.to_owned())))
    }

    /// Mechanism and initial response of the AUTH that was asked about.
    pub fn auth_arguments(&self, rest: &str) -> Result<(String, Option<String>), Reply> {
        if self.authenticated {
            return Err(sequence("Error: already authenticated"));
        }
        match Command::with_arguments(Verb::Auth, rest).map_err(Syntax::reply)? {
            Command::Auth(mechanism, response) => Ok((mechanism.to_owned(), response.map(str::to_owned))),
            _ => Err(Syntax::Arguments(Verb::Auth).reply()),
        }
    }

    /// Whether the client has logged in.
    pub fn set_authenticated(&mut self, yes: bool) {
        self.authenticated = yes;
    }

    /// The answer to a client that has logged in.
    pub fn welcome() -> Reply {
        Reply::new(235, Status::new(2, 7, 0), "Authentication successful")
    }
}
