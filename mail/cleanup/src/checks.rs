//! Header and body checks: the tables, one lookup, and what its result does to the message. header_checks(5).
//!
//! The steps `header_checks` and `body_checks` call [`inspect`]. REJECT, DISCARD, REDIRECT and PASS end the checks of a
//! message; a table that fails refuses it for now.

use crate::{CleanupConfig, message::Message, reply};
use base_calls::{MessageAction, RewriteContext, SubmitError};
use base_log::lines::ContentAction;
use base_tables::{Maps, Tables, Usage};
use proto_dsn::Status;
use proto_message::{
    checks::{self, Action, Command, Use},
    mime::Class,
};

/// The open tables.
pub(crate) struct Checks {
    header: Maps,
    mime: Maps,
    nested: Maps,
    body: Maps,
    milter: Maps,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inspected {
    /// A header, by the table that it belongs to.
    Header(Class),
    /// A body line, or a piece of a long one, with the bytes of its part before it.
    Body(u64),
    /// A header that a milter adds.
    Milter,
}

/// What becomes of a header or line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It passes.
    Keep,
    /// It is left out.
    Drop,
    /// This stands instead of it, with its CRLF.
    Replace(Vec<u8>),
    /// This stands in front of it, with its CRLF.
    Prepend(Vec<u8>),
}

impl Checks {
    pub fn open(c: &CleanupConfig, tables: &Tables) -> Self {
        let maps = |title: &str, text: &str| Maps::open_for(tables, title, text, Usage::CONTENT);
        Self {
            header: maps("header_checks", &c.header_checks),
            mime: maps("mime_header_checks", &c.mime_header_checks),
            nested: maps("nested_header_checks", &c.nested_header_checks),
            body: maps("body_checks", &c.body_checks),
            milter: maps("milter_header_checks", &c.milter_header_checks),
        }
    }

    fn maps(&self, what: Inspected) -> &Maps {
        match what {
            Inspected::Header(Class::Header) => &self.header,
            Inspected::Header(Class::Mime) => &self.mime,
            Inspected::Header(Class::Nested) => &self.nested,
            Inspected::Body(_) => &self.body,
            Inspected::Milter => &self.milter,
        }
    }

    /// Is there a table for this?
    pub fn has(&self, what: Inspected) -> bool {
        !self.maps(what).is_empty()
    }
}

impl Inspected {
    fn is_header(self) -> bool {
        matches!(self, Self::Header(_) | Self::Milter)
    }

    fn name(self) -> &'static str {
        if self.is_header() { "header" } else { "body" }
    }
}

/// Looks a header or line up, with its line ends, and does what the result says.
pub(crate) async fn inspect(m: &mut Message, what: Inspected, raw: &[u8]) -> Fate {
    let key = checks::key(raw);
    if key.is_empty() {
        return Fate::Keep;
    }
    let core = m.core.clone();
    let maps = core.checks.maps(what);
    let result = match maps.find_content(&key).await {
        Ok(None) => return Fate::Keep,
        Ok(Some(result)) => result,
        Err(_) => {
            m.warn(&format!("{} map lookup problem -- message not accepted, try again later", maps.title()));
            m.stop_checks();
            m.fail(reply::write_error());
            return Fate::Keep;
        }
    };
    let used = Use { title: maps.title(), header: what.is_header(), delivering: false };
    match checks::parse(&result, used) {
        Ok(command) => perform(m, what, &key, command),
        Err(complaint) => {
            m.complain(&complaint);
            Fate::Keep
        }
    }
}

fn perform(m: &mut Message, what: Inspected, key: &[u8], command: Command) -> Fate {
    let text = String::from_utf8_lossy(&command.text).into_owned();
    let word = match what {
        Inspected::Milter => format!("milter-header-{}", command.word),
        _ => command.word.to_owned(),
    };
    let log = |m: &Message, text: &str| m.log_content(&word, what.name(), key, text, true);
    match command.action {
        Action::Dunno => {}
        Action::Ignore => return Fate::Drop,
        Action::Warn | Action::Info => log(m, &text),
        Action::Strip => {
            log(m, &text);
            return Fate::Drop;
        }
        Action::Reject => {
            let error = m.rejection(&text);
            log(m, &format!("{} {}", error.status, error.text));
            m.stop_checks();
            m.refuse(error);
        }
        Action::Discard => {
            log(m, &text);
            m.stop_checks();
            m.end_here();
        }
        Action::Hold => {
            if !m.is_held() {
                log(m, &text);
                m.apply(MessageAction::Hold);
            }
        }
        Action::Pass => {
            log(m, &text);
            m.stop_checks();
        }
        Action::Filter(to) => {
            log(m, &text);
            m.apply(MessageAction::Filter(to));
        }
        Action::Redirect(to) => {
            log(m, &text);
            m.stop_checks();
            m.apply(MessageAction::Redirect(to));
        }
        Action::Bcc(to) => {
            log(m, &text);
            let address = m.core.route.rewrite(RewriteContext::Local, &to);
            m.apply(MessageAction::Bcc(address));
        }
        Action::Prepend(line) => {
            log(m, &text);
            return Fate::Prepend(checks::wire(&line));
        }
        Action::Replace(line) => {
            log(m, &text);
            return Fate::Replace(checks::wire(&line));
        }
    }
    Fate::Keep
}

impl Message {
    /// The answer for `REJECT text`, where an enhanced status may stand in front of the text.
    fn rejection(&self, text: &str) -> SubmitError {
        const USUAL: Status = Status::new(5, 7, 1);
        if text.is_empty() {
            return SubmitError::new(550, USUAL, "message content rejected");
        }
        let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let Ok(status) = word.parse::<Status>() else { return SubmitError::new(550, USUAL, text) };
        let rest = rest.trim_start();
        match word.as_bytes().first() {
            Some(b'4') => SubmitError::new(451, status, rest),
            Some(b'5') => SubmitError::new(550, status, rest),
            _ => {
                self.complain(&format!("bad DSN action in {text} -- need 4.x.x or 5.x.x"));
                SubmitError::new(451, Status::new(4, 0, 0), rest)
            }
        }
    }

    /// Writes what was done about a header or line. `client`: with protocol and name of the client.
    pub(crate) fn log_content(&self, action: &str, what: &str, content: &[u8], text: &str, client: bool) {
        let origin = self.client_or("local");
        self.with_context(true, client, |context| {
            let line = ContentAction { id: self.id, action, what, content, origin: &origin, context, text };
            self.core.log.line(&self.source, &line);
        });
    }

    /// `name[address]` of the client; `local` for mail that came from none.
    pub(crate) fn client_or(&self, local: &str) -> String {
        let info = &self.envelope.client;
        if info.addr.is_empty() { local.to_owned() } else { format!("{}[{}]", info.name, info.addr) }
    }

    /// What a line of the log about this message ends with: sender, the last recipient (`to`), protocol and name of the
    /// client (`client`).
    pub(crate) fn with_context(
        &self,
        to: bool,
        client: bool,
        log: impl FnOnce(&[(&'static str, Option<&str>)]),
    ) {
        let info = &self.envelope.client;
        let sender = proto_address::external(&self.envelope.sender);
        let last = self.last_recipient.as_ref().filter(|_| to);
        let last = last.map(|to| self.core.route.rewrite(RewriteContext::Local, to));
        let last = last.as_deref().map(proto_address::external);
        let known = |value: &str| client && !value.is_empty() && !info.addr.is_empty();
        log(&[
            ("from", Some(sender.as_ref())),
            ("to", last.as_deref()),
            ("proto", known(&info.protocol).then_some(info.protocol.as_str())),
            ("helo", known(&info.helo).then_some(info.helo.as_str())),
        ]);
    }
}
