//! Milters over a whole message (cleanup(8), MILTER_README): those of the SMTP session that brought it, or `non_smtpd_milters` with
//! a simulated session.
//!
//! Runs when the content is complete and before the commit. What milters change goes through [`Edited`]; added headers pass
//! `milter_header_checks`. A verdict is logged and becomes the message's: refused, held, discarded.

use crate::{
    checks::{Fate, Inspected, inspect},
    edits::{Edited, field, is_name},
    message::Message,
    milter_size::MilterSize,
    reply,
    steps::{resolve_pending, resolve_sender},
};
use base_calls::{
    Content, Edit, Filtered, Filters, Fut, MessageAction, Notify, Origin, Recipient, Ret, RewriteContext,
    SubmitError, Verdict, WarnLog,
};
use base_log::lines::Reject;
use base_milter::{Chain, Event, Family, Shared};
use proto_dsn::Status;
use std::sync::Arc;

/// The beginning of a message: the session that there was not, up to MAIL, for milters of mail that came by no session.
pub(crate) async fn begin(m: &mut Message) {
    if m.local_milters.is_some() || !is_local(m) {
        return;
    }
    let shared = Shared::new(Chain::new(&m.config().milters, m.config().milter_lists.clone()));
    m.local_milters = Some(shared.clone());
    simulate_mail(m, &shared).await;
}

/// Shows the message to its milters.
pub(crate) async fn run(m: &mut Message) {
    let (filters, local): (Option<Arc<dyn Filters>>, _) = (m.filters.take(), m.local_milters.take());
    let own = local.clone();
    let filters = match (filters, local) {
        (Some(filters), _) => filters,
        (None, Some(shared)) => {
            if simulate_recipients(m, &shared).await {
                return;
            }
            Arc::new(shared)
        }
        (None, None) => {
            // Room for changes is made wherever there are milters at all.
            if m.options.filter && !m.config().milters.is_empty() {
                m.milter_size = size_of(m).map(|s| s.total());
            }
            return;
        }
    };
    let size = size_of(m);
    let mut work = Work { m: &mut *m, edited: None, size };
    let verdict = filters.message(&mut work).await;
    m.milter_size = work.size.map(|s| s.total());
    conclude(m, verdict, "END-OF-MESSAGE", true);
    if let Some(own) = own {
        own.lock().await.quit().await;
    }
}

fn size_of(m: &Message) -> Option<MilterSize> {
    MilterSize::of(&m.out.content(), m.out.size(), m.config().line_length_limit).ok()
}

/// Whether `non_smtpd_milters` apply.
fn is_local(m: &Message) -> bool {
    m.envelope.origin != Origin::Smtpd
        && m.options.filter
        && !m.options.no_milters
        && !m.config().milters.is_empty()
}

/// CONNECT, EHLO and MAIL of a session that there was not.
async fn simulate_mail(m: &mut Message, shared: &Shared) {
    let mut chain = shared.lock().await;
    let log = warn_log(m);
    let warn = &move |text: &str| log(text);
    for (name, value) in [
        ("j", m.config().myhostname.as_str()),
        ("{daemon_addr}", "127.0.0.1"),
        ("{client_addr}", "127.0.0.1"),
        ("{client_name}", "localhost"),
        ("_", "localhost [127.0.0.1]"),
    ] {
        chain.set(name, Some(value.to_owned()));
    }
    let connect = Event::Connect { host: "localhost", family: Family::Inet, port: 0, address: "127.0.0.1" };
    for (event, stage) in [(connect, "CONNECT"), (Event::Helo("localhost"), "EHLO")] {
        let verdict = chain.tell(&event, warn).await;
        if conclude(m, verdict, stage, false) {
            return;
        }
    }
    let sender = m.envelope.sender.clone();
    chain.set("i", Some(m.id.to_string()));
    chain.set("{mail_addr}", Some(sender.clone()));
    let verdict = chain.tell(&Event::Mail(&[&sender]), warn).await;
    conclude(m, verdict, "MAIL", false);
}

/// RCPT and DATA, when all recipients are known. True: the message is done with.
async fn simulate_recipients(m: &mut Message, shared: &Shared) -> bool {
    let mut chain = shared.lock().await;
    let log = warn_log(m);
    let warn = &move |text: &str| log(text);
    let mut last = String::new();
    let route = m.core.route.clone();
    let recipients: Vec<_> = m.envelope.recipients.iter().map(given).collect();
    for address in recipients.iter().map(|r| route.rewrite(RewriteContext::Local, r)) {
        if std::mem::replace(&mut last, address.clone()) == address {
            continue;
        }
        chain.set("{rcpt_addr}", Some(address.clone()));
        let verdict = chain.tell(&Event::Rcpt(&[&address]), warn).await;
        if matches!(verdict, Verdict::Refuse(_)) {
            m.log_decision("milter-reject", "RCPT", &refusal_text(&verdict), true);
            m.warn("milter configuration error: can't reject recipient in non-smtpd(8) submission");
            m.warn("message not accepted, try again later");
            m.fail(reply::write_error());
            return true;
        }
        if conclude(m, verdict, "RCPT", true) {
            return true;
        }
    }
    let verdict = chain.tell(&Event::Data, warn).await;
    conclude(m, verdict, "DATA", true)
}

fn given(r: &Recipient) -> String {
    if r.original.is_empty() { r.address.clone() } else { r.original.clone() }
}

fn refusal_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Refuse(text) => text.get(4..).unwrap_or_default().to_owned(),
        _ => "4.7.0 Server closing connection".to_owned(),
    }
}

/// Does what milters say. True: the message is done with.
fn conclude(m: &mut Message, verdict: Verdict, stage: &str, to: bool) -> bool {
    match &verdict {
        Verdict::Continue => return false,
        Verdict::Hold => {
            if !m.is_held() {
                m.log_decision("milter-hold", stage, "milter triggers HOLD action", to);
                m.apply(MessageAction::Hold);
            }
            return false;
        }
        Verdict::Discard => {
            m.log_decision("milter-discard", stage, "milter triggers DISCARD action", to);
            m.end_here();
        }
        Verdict::Refuse(text) => {
            m.log_decision("milter-reject", stage, &refusal_text(&verdict), to);
            m.refuse(error(text));
        }
        Verdict::Shutdown => {
            m.log_decision("milter-reject", stage, &refusal_text(&verdict), to);
            m.fail(SubmitError::new(421, Status::new(4, 7, 0), "Server closing connection"));
        }
    }
    true
}

/// A milter's reply (`550 5.7.1 text`) as the message's error. Further lines follow after LF.
fn error(text: &str) -> SubmitError {
    let code = text.get(..3).and_then(|c| c.parse().ok()).unwrap_or(451);
    let usual = if code < 500 { Status::new(4, 7, 1) } else { Status::new(5, 7, 1) };
    let mut status = usual;
    let mut lines = Vec::new();
    for line in text.split("\r\n") {
        let rest = line.get(4..).unwrap_or_default();
        match Status::split_prefix(rest) {
            Some((found, words)) => {
                status = found;
                lines.push(words);
            }
            None => lines.push(rest),
        }
    }
    SubmitError::new(code, status, lines.join("\n"))
}

fn warn_log(m: &Message) -> WarnLog {
    let (log, source) = (m.core.log.clone(), m.source.clone());
    Box::new(move |text| {
        log.metrics().milters.failures.add_one();
        log.warning(&source, text);
    })
}

/// A message that milters work on.
struct Work<'a> {
    m: &'a mut Message,
    edited: Option<Edited>,
    size: Option<MilterSize>,
}

impl Filtered for Work<'_> {
    fn queue_id(&self) -> String {
        self.m.id.to_string()
    }

    fn content(&self) -> Content {
        self.m.out.content()
    }

    fn log(&self) -> WarnLog {
        warn_log(self.m)
    }

    fn edit(&mut self, edit: Edit) -> Fut<'_, ()> {
        Box::pin(async move {
            if let Err(error) = self.make(edit).await {
                self.m.fail(error);
            }
        })
    }

    fn finish_edits(&mut self) -> Fut<'_, Option<Verdict>> {
        Box::pin(async move {
            if let Some(edited) = self.edited.take().filter(|_| !self.m.failed())
                && let Err(error) = edited.write(&mut self.m.out)
            {
                self.m.fail(error);
            }
            // What has refused or ended the message has said so itself.
            (self.m.failed() || self.m.has_notice() || self.m.is_discarded()).then_some(Verdict::Continue)
        })
    }
}

impl Work<'_> {
    async fn make(&mut self, edit: Edit) -> Result<(), SubmitError> {
        match edit {
            Edit::AddRecipient { address, parameters } => {
                self.add_recipient(&address, &parameters).await;
                Ok(())
            }
            Edit::DeleteRecipient(address) => {
                self.m.delete_recipient(bare(&address));
                Ok(())
            }
            Edit::ChangeSender { address, parameters } => {
                self.change_sender(&address, &parameters).await;
                Ok(())
            }
            Edit::Quarantine(_) => Ok(()),
            edit => self.content_edit(edit).await,
        }
    }

    async fn content_edit(&mut self, edit: Edit) -> Result<(), SubmitError> {
        let mut edited = match self.edited.take() {
            Some(edited) => edited,
            None => Edited::scan(&self.m.out.content()).map_err(|_| reply::write_error())?,
        };
        let result = match edit {
            Edit::AddHeader { name, value } => {
                edited.append(self.checked(&name, &value).await);
                Ok(())
            }
            Edit::InsertHeader { index, name, value } => {
                edited.insert(index, self.checked(&name, &value).await);
                Ok(())
            }
            Edit::ChangeHeader { index, name, value } => {
                let new = if value.is_empty() { None } else { self.checked(&name, &value).await };
                edited.change(&name, index, new);
                Ok(())
            }
            Edit::ReplaceBody(piece) => {
                if let Some(size) = &mut self.size {
                    size.body(&piece, edited.body_is_old());
                }
                edited.body(&piece, &mut self.m.out)
            }
            _ => Ok(()),
        };
        self.edited = Some(edited);
        result
    }

    /// A new header field after `milter_header_checks`; `None`: it is left out.
    async fn checked(&mut self, name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        if !is_name(name) {
            self.m.warn(&format!("ignoring bad header name from Milter: {}", name.escape_ascii()));
            return None;
        }
        let text = field(name, value);
        if !self.m.core.checks.has(Inspected::Milter) {
            return Some(text);
        }
        match inspect(self.m, Inspected::Milter, &text).await {
            Fate::Keep => Some(text),
            Fate::Drop => None,
            Fate::Replace(other) => Some(other),
            Fate::Prepend(_) => {
                self.m.complain("the milter_header/body_checks prepend action is not implemented");
                Some(text)
            }
        }
    }

    async fn add_recipient(&mut self, address: &str, parameters: &str) {
        let address = bare(address);
        if address.is_empty() {
            self.m.warn("ignoring attempt from Milter to add null recipient");
            return;
        }
        let mut r = Recipient { address: address.to_owned(), ..Recipient::default() };
        for parameter in parameters.split_ascii_whitespace() {
            match parameter.split_once('=') {
                Some((name, value)) if name.eq_ignore_ascii_case("NOTIFY") => match notify(value) {
                    Ok(n) => r.notify = n,
                    Err(word) => {
                        let m = &self.m;
                        m.complain(&format!("unknown DSN NOTIFY command value \"{word}\" in \"{value}\""));
                        m.warn(&format!(
                            "Bad NOTIFY parameter from Milter or header/body_checks: \"{parameter}\""
                        ));
                    }
                },
                Some((name, value)) if name.eq_ignore_ascii_case("ORCPT") => value.clone_into(&mut r.orcpt),
                _ => self.m.complain(&format!(
                    "Ignoring bad ESMTP parameter \"{parameter}\" in SMFI_ADDRCPT_PAR request"
                )),
            }
        }
        self.m.pending.push_back(r);
        resolve_pending(self.m).await;
    }

    async fn change_sender(&mut self, address: &str, parameters: &str) {
        let envelope = &mut self.m.envelope;
        bare(address).clone_into(&mut envelope.sender);
        let mut bad = Vec::new();
        for parameter in parameters.split_ascii_whitespace() {
            match parameter.split_once('=').map(|(n, v)| (n.to_ascii_uppercase(), v)) {
                Some((n, v)) if n == "RET" && v.eq_ignore_ascii_case("FULL") => {
                    envelope.ret = Some(Ret::Full)
                }
                Some((n, v)) if n == "RET" && v.eq_ignore_ascii_case("HDRS") => {
                    envelope.ret = Some(Ret::Hdrs)
                }
                Some((n, v)) if n == "ENVID" => v.clone_into(&mut envelope.envid),
                _ => bad.push(parameter),
            }
        }
        for parameter in bad {
            self.m.complain(&format!("Ignoring bad ESMTP parameter \"{parameter}\" in SMFI_CHGFROM request"));
        }
        resolve_sender(self.m).await;
    }
}

/// An address without angle brackets.
fn bare(address: &str) -> &str {
    let address = address.trim();
    address.strip_prefix('<').and_then(|a| a.strip_suffix('>')).unwrap_or(address)
}

/// `NOTIFY=` (RFC 3461); `Err`: the word that is none.
fn notify(value: &str) -> Result<Notify, String> {
    let mut out = Notify::default();
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "NEVER" => out.never = true,
            "SUCCESS" => out.success = true,
            "FAILURE" => out.failure = true,
            "DELAY" => out.delay = true,
            _ => return Err(word.to_owned()),
        }
    }
    Ok(out)
}

impl Message {
    /// Takes a recipient off: what was given, and all that it was expanded to.
    fn delete_recipient(&mut self, address: &str) {
        let same = |a: &str| a.eq_ignore_ascii_case(address);
        let before = self.envelope.recipients.len();
        self.envelope.recipients.retain(|r| !same(&given(r)) && !same(&r.address));
        if self.envelope.recipients.len() < before {
            self.duplicates = Default::default();
            self.emptied |= self.envelope.recipients.is_empty();
        }
    }

    /// `milter-reject: STAGE from client: text; …`, of milters and DMARC. `to`: with the recipient.
    pub(crate) fn log_decision(&self, action: &str, stage: &str, text: &str, to: bool) {
        let (id, client) = (self.id.to_string(), self.client_or("localhost[127.0.0.1]"));
        let text = text.replace("\r\n", "??");
        self.with_context(to, true, |context| {
            let line =
                Reject { id: &id, action, stage, restriction: "", client: &client, text: &text, context };
            self.core.log.line(&self.source, &line);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies() {
        let e = error("554-5.7.2 one\r\n554 5.7.2 two");
        assert_eq!((e.code, e.status, e.text.as_str()), (554, Status::new(5, 7, 2), "one\ntwo"));
        let e = error("451 later");
        assert_eq!((e.code, e.status, e.text.as_str()), (451, Status::new(4, 7, 1), "later"));
    }

    #[test]
    fn parameters() {
        assert_eq!((bare("<>"), bare(" <a@b> "), bare("a")), ("", "a@b", "a"));
        assert!(notify("success,DELAY").is_ok_and(|n| n.success && n.delay && !n.never));
        assert_eq!(notify("SUCCESS,X"), Err("X".to_owned()));
    }
}
