//! Sending replies, and what a connection writes to the log.

use crate::escape::escaped;
use crate::{
    config::discard_text,
    connection::{Connection, Flow},
    reply::with_footer,
};
use base_net::NetError;
use mail_restrict::{Facts, Stage};
use proto_dsn::Status;
use proto_smtp::{Keyword, Reply, server::Note};

/// `code status text`, or `code text`, of a refusal; `\n` makes more lines.
fn refusal(text: &str) -> Option<Reply> {
    let (code, rest) = text.split_once(' ')?;
    let code = code.parse::<u16>().ok().filter(|c| (400..600).contains(c))?;
    let (status, rest) = match Status::split_prefix(rest) {
        Some((status, rest)) if u16::from(status.class()) == code / 100 => (Some(status), rest),
        Some(_) => return None,
        None => (None, rest),
    };
    let mut lines = rest.split("\\n");
    let first = lines.next().unwrap_or_default();
    let mut reply = Reply::plain(code, first);
    reply.status = status;
    reply.lines.extend(lines.map(str::to_owned));
    Some(reply)
}

impl Connection {
    // Sending.

    pub(crate) async fn send(&mut self, mut reply: Reply) -> Result<(), NetError> {
        if self.session.is_slow() && !self.shared.config.error_sleep.is_zero() {
            self.stream.flush().await?;
            tokio::time::sleep(self.shared.config.error_sleep).await;
        }
        self.finish_reply(&mut reply).await;
        self.transcript.server(&reply);
        reply.write_to(self.stream.output());
        // What is queued goes out with the next wait for input; a batch of commands gets its replies together.
        if self.stream.output().len() > 16 * 1024 {
            self.stream.flush().await?;
        }
        Ok(())
    }

    async fn finish_reply(&mut self, reply: &mut Reply) {
        if self.session.settings().discarded.has(Keyword::EnhancedStatusCodes) {
            reply.status = None;
        }
        if reply.is_ok() {
            return;
        }
        self.filter_reject(reply).await;
        let own = self.footer_of(reply.one_line()).await;
        let footer = own.as_deref().unwrap_or(&self.shared.config.footer);
        with_footer(reply, footer, |text| self.shared.restrict.footer(&self.facts(Stage::Connect), text));
    }

    /// `smtpd_reject_filter_maps`: another refusal in place of this one. What is none leaves it as it is.
    async fn filter_reject(&mut self, reply: &mut Reply) {
        let shared = std::sync::Arc::clone(&self.shared);
        let maps = &shared.lists.reject_filters;
        if maps.is_empty() {
            return;
        }
        let before = reply.one_line();
        match maps.find(&before).await {
            Ok(Some(text)) => match refusal(&text) {
                Some(new) => *reply = new,
                None => self.warning(format_args!(
                    "smtpd_reject_filter_maps: bad result for \"{before}\": \"{text}\""
                )),
            },
            Ok(None) => {}
            Err(_) => self.warning(format_args!("smtpd_reject_filter_maps lookup error for \"{before}\"")),
        }
    }

    /// `smtpd_reject_footer_maps`: what the tables say of this reply.
    async fn footer_of(&mut self, reply: String) -> Option<String> {
        let shared = std::sync::Arc::clone(&self.shared);
        let maps = &shared.lists.footers;
        if maps.is_empty() {
            return None;
        }
        let found = maps.find(&reply).await;
        found.unwrap_or_else(|_| {
            self.warning(format_args!("smtpd_reject_footer_maps lookup error for \"{reply}\""));
            None
        })
    }

    pub(crate) async fn close_with(&mut self, reply: Reply) -> Result<Flow, NetError> {
        self.send(reply).await?;
        self.stream.flush().await?;
        Ok(Flow::Close)
    }

    // Logging.

    pub(crate) fn info(&self, text: std::fmt::Arguments<'_>) {
        self.shared.deps.log.info(&self.source, text);
    }

    pub(crate) fn warning(&self, text: std::fmt::Arguments<'_>) {
        self.shared.deps.log.warning(&self.source, text);
    }

    pub(crate) fn queue_id_text(&self) -> String {
        self.message.as_ref().map_or_else(|| "NOQUEUE".to_owned(), |m| m.id_text())
    }

    pub(crate) fn log_notes(&mut self) {
        for note in self.session.take_notes() {
            self.log_note(note);
        }
    }

    pub(crate) fn log_note(&mut self, note: Note) {
        let from = self.peer.namaddr();
        let id = self.queue_id_text();
        match note {
            Note::BadAddress(verb, text) => {
                let verb = verb.name();
                self.warning(format_args!("Illegal address syntax from {from} in {verb} command: {text}"));
            }
            Note::BadNotify(word, all) => {
                self.warning(format_args!("unknown DSN NOTIFY command value \"{word}\" in \"{all}\""));
            }
            Note::BadChunk(line) => {
                let line = escaped(line.as_bytes());
                self.warning(format_args!("{id}: malformed BDAT command syntax from {from}: {line}"));
            }
            Note::NullChunk => self.warning(format_args!("{id}: null BDAT request from {from}")),
            Note::LargeChunk => {
                self.warning(format_args!("{id}: BDAT request from {from} exceeds message size limit"));
            }
            Note::Foreign(line) => {
                let line = escaped(line.as_bytes());
                self.warning(format_args!("non-SMTP command from {from}: {line}"));
            }
            Note::SizeRejected(reply, sender) => {
                let facts = Facts { sender: Some(&sender), ..self.facts(Stage::Mail) };
                self.shared.restrict.note(&facts, "reject", &reply.one_line());
            }
        }
    }

    pub(crate) fn log_discarded_keywords(&self) {
        if let Some(words) = discard_text(self.session.settings().discarded) {
            self.info(format_args!("discarding EHLO keywords: {words}"));
        }
    }

    /// What restrictions may know.
    pub(crate) fn facts(&self, stage: Stage) -> Facts<'_> {
        let transaction = self.session.transaction();
        Facts {
            source: &self.source,
            stage,
            client: &self.peer,
            helo: self.session.helo(),
            protocol: self.session.protocol(),
            sender: transaction.map(|t| t.mail.sender.as_str()),
            recipient: None,
            recipients: transaction.map_or(0, |t| t.recipients),
            etrn: None,
            queue_id: self.message.as_ref().and_then(|m| m.id()),
            pipelined: self.pipelined,
            login: self.login.as_ref(),
            sasl_sender: transaction.map(|t| t.mail.auth.as_str()).filter(|a| !a.is_empty()),
            sasl_offered: self.shared.sasl.is_some(),
            tls: self.tls.as_ref(),
            ccert_asked: self.shared.tls.as_ref().is_some_and(|t| t.asks),
            client_port: self.port,
            server_port: self.server_port,
            instance: self.instance,
            stressed: self.stressed,
            answers: &self.answers,
            size: transaction.map_or(0, |t| t.mail.size),
            held: self.held,
            discarded: self.discarded,
            tape: self.tape.as_ref(),
        }
    }
}
