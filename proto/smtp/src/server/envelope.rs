//! HELO, EHLO, MAIL and RCPT: sequence, syntax, parameters, addresses. RFC 5321 4.1.1.1 to 4.1.1.3.

use super::{
    Ask, BdatState, MailParams, Next, Note, RcptParams, Session,
    params::BadParam,
    session::{Pending, Refused, sequence},
};
use crate::{Command, Reply, Syntax, Verb, command::PathCommand};
use proto_address::{PathRules, parse_path};
use proto_dsn::Status;

impl Session {
    // HELO.

    pub(super) fn helo_command(&mut self, verb: Verb, rest: &str) -> Refused {
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

    pub(super) fn mail(&mut self, rest: &str) -> Refused {
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
        mail.sender = self.address(Verb::Mail, path)?;
        for p in &params {
            mail.add(p, &self.settings)?;
        }
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

    pub(super) fn rcpt(&mut self, rest: &str) -> Refused {
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
    pub(super) fn address(&mut self, verb: Verb, path: &str) -> Result<String, Reply> {
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
    pub(super) fn check_utf8(
        &mut self,
        verb: Verb,
        address: &str,
        path: &str,
        said: bool,
    ) -> Result<(), Reply> {
        if said || address.is_ascii() || !self.settings.smtputf8 {
            return Ok(());
        }
        let domain_is_ascii = address.rsplit_once('@').is_none_or(|(_, d)| d.is_ascii());
        if domain_is_ascii && self.settings.strict_smtputf8 {
            let text = "Must declare SMTPUTF8 to send unicode address";
            return Err(Reply::new(553, Status::new(5, 6, 7), text));
        }
        if domain_is_ascii {
            return Ok(());
        }
        self.notes.push(Note::BadAddress(verb, path.to_owned()));
        Err(bad_address_reply(verb))
    }
}

pub(super) fn bad_address_reply(verb: Verb) -> Reply {
    match verb {
        Verb::Mail => Reply::new(501, Status::new(5, 1, 7), "Bad sender address syntax"),
        _ => Reply::new(501, Status::new(5, 1, 3), "Bad recipient address syntax"),
    }
}

/// `user@example.com` of `@a,@b:user@example.com`.
pub(super) fn without_route(address: &str) -> &str {
    match address.strip_prefix('@').and_then(|r| r.split_once(':')) {
        Some((_, rest)) => rest,
        None => address,
    }
}

/// A name for logs and tables: characters with a meaning in headers become `?`.
pub(super) fn neutral(name: &str) -> String {
    let odd = |c: char| c.is_control() || " <>()\\\";@".contains(c);
    name.chars().map(|c| if odd(c) { '?' } else { c }).collect()
}
