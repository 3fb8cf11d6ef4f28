//! Answers to what the session asks: HELO, MAIL, RCPT, VRFY, ETRN; DATA, XCLIENT and XFORWARD go on to their own files.

use crate::{anvil::Event, connection::Connection, message::Message, reply::of_refusal, server::Flush};
use base_calls::{MessageAction, Notify, Recipient, RewriteContext};
use base_net::NetError;
use mail_restrict::{Facts, Memory, Outcome, Stage};
use proto_dsn::Status;
use proto_smtp::{
    Reply,
    server::{Ask, MailParams, Next, RcptParams, Verdict},
};
use std::{sync::Arc, time::Instant};

impl Connection {
    /// Finds the answer out and gives it to the session.
    pub(crate) async fn asked(&mut self, ask: Ask) -> Result<Next, NetError> {
        let verdict = match ask {
            Ask::Helo { name, esmtp } => {
                let verdict = self.ask_helo(&name, esmtp).await;
                let stage = if esmtp { Stage::Ehlo } else { Stage::Helo };
                self.remember(Facts { helo: Some(&name), ..self.facts(stage) }, &verdict);
                verdict
            }
            Ask::Mail(mail) => {
                let verdict = self.ask_mail(&mail).await;
                self.remember(Facts { sender: Some(&mail.sender), ..self.facts(Stage::Mail) }, &verdict);
                verdict
            }
            Ask::Rcpt(rcpt) => {
                let recipient = self.tape.is_some().then(|| rcpt.recipient.clone());
                let verdict = self.ask_rcpt(rcpt).await;
                self.remember(Facts { recipient: recipient.as_deref(), ..self.facts(Stage::Rcpt) }, &verdict);
                verdict
            }
            Ask::Data => return self.data().await,
            Ask::Vrfy { address, .. } => {
                let verdict = self.ask_vrfy(&address).await;
                self.remember(Facts { recipient: Some(&address), ..self.facts(Stage::Vrfy) }, &verdict);
                verdict
            }
            Ask::Etrn(domain) => {
                let verdict = self.ask_etrn(&domain).await;
                self.remember(Facts { etrn: Some(&domain), ..self.facts(Stage::Etrn) }, &verdict);
                verdict
            }
            Ask::Xclient(attributes) => return self.xclient(attributes).await,
            Ask::Xforward(attributes) => self.xforward(attributes),
            Ask::Auth(rest) => return self.auth(&rest).await,
            Ask::StartTls => return self.starttls().await,
        };
        Ok(self.session.answer(verdict))
    }

    /// Keeps the decision for `postfix explain`: each refusal, and each recipient that was accepted.
    fn remember(&self, facts: Facts<'_>, verdict: &Verdict) {
        match verdict {
            Verdict::Refuse(reply) => self.remember_reply(&facts, Some(reply)),
            Verdict::BadAddress => {
                self.shared.deps.decisions.remember(&facts, &self.shared.service, "bad address syntax");
            }
            _ if facts.stage == Stage::Rcpt => self.remember_reply(&facts, None),
            _ => {}
        }
    }

    /// The same with what the client hears; nothing: it is accepted.
    pub(crate) fn remember_reply(&self, facts: &Facts<'_>, reply: Option<&Reply>) {
        if facts.tape.is_some() {
            let text = reply.map(Reply::one_line).unwrap_or_default();
            self.shared.deps.decisions.remember(facts, &self.shared.service, &text);
        }
    }

    /// Remembers what is to be done to the message, and turns a refusal into a verdict.
    fn verdict(&mut self, outcome: Outcome) -> Verdict {
        self.act(outcome.actions);
        match outcome.refusal {
            None => Verdict::Accept,
            Some(refusal) => Verdict::Refuse(of_refusal(refusal)),
        }
    }

    pub(crate) fn act(&mut self, mut actions: Vec<MessageAction>) {
        if self.shared.config.filter.is_some() {
            self.without_filter_actions(&mut actions);
        }
        self.held |= actions.contains(&MessageAction::Hold);
        self.discarded |= actions.contains(&MessageAction::Discard);
        match &mut self.message {
            Some(m) => actions.into_iter().for_each(|a| m.action(a)),
            None => self.actions.extend(actions),
        }
    }

    /// What is done to messages in the queue cannot be done to those that go through a filter first.
    fn without_filter_actions(&self, actions: &mut Vec<MessageAction>) {
        for action in actions.drain(..) {
            let name = match action {
                MessageAction::Hold => "HOLD",
                MessageAction::Filter(_) => "FILTER",
                MessageAction::Redirect(_) => "REDIRECT",
                MessageAction::Bcc(_) => "BCC",
                MessageAction::Discard => "DISCARD",
                MessageAction::Prepend(_) => "PREPEND",
            };
            self.warning(format_args!("with smtpd_proxy_filter specified, action {name} is unavailable"));
        }
    }

    async fn ask_helo(&mut self, name: &str, esmtp: bool) -> Verdict {
        let mut memory = std::mem::take(&mut self.memory);
        let shared = Arc::clone(&self.shared);
        let stage = if esmtp { Stage::Ehlo } else { Stage::Helo };
        let facts = Facts { helo: Some(name), ..self.facts(stage) };
        let outcome = shared.restrict.helo(&facts, &mut memory).await;
        self.memory = memory;
        if esmtp && outcome.refusal.is_none() {
            self.log_discarded_keywords();
        }
        match self.verdict(outcome) {
            Verdict::Accept => self.milter_helo(name, esmtp).await,
            refused => refused,
        }
    }

    async fn ask_mail(&mut self, mail: &MailParams) -> Verdict {
        if let Some(reply) = self.too_many(Event::Message) {
            return Verdict::Refuse(reply);
        }
        if let Some(reply) = self.user_has_too_many(Event::Message, &mail.sender).await {
            return Verdict::Refuse(reply);
        }
        if let Err(verdict) = self.resolvable("", &mail.sender).await {
            return verdict;
        }
        let mut memory = std::mem::take(&mut self.memory);
        let shared = Arc::clone(&self.shared);
        let facts = Facts { sender: Some(&mail.sender), size: mail.size, ..self.facts(Stage::Mail) };
        shared.restrict.scout(&facts, true);
        let outcome = shared.restrict.mail(&facts, &mut memory).await;
        self.memory = memory;
        match self.verdict(outcome) {
            Verdict::Accept => {
                self.mail_command = std::mem::take(&mut self.command);
                match self.enough_space(mail.size) {
                    Verdict::Accept => self.milter_mail(mail).await,
                    refused => refused,
                }
            }
            refused => refused,
        }
    }

    /// `queue_minfree`, and room for the message and half of it again.
    fn enough_space(&mut self, size: u64) -> Verdict {
        let config = Arc::clone(&self.shared.config);
        let Ok(free) = base_sys::disk::free_bytes(&config.queue_directory) else { return Verdict::Accept };
        let limit = self.session.settings().size_limit;
        let crowded = free <= config.queue_minfree || free.saturating_sub(config.queue_minfree) < size;
        if !crowded && free / 3 * 2 >= limit {
            return Verdict::Accept;
        }
        self.warning(format_args!(
            "not enough free space in mail queue: {free} bytes < 1.5*message size limit"
        ));
        let reply = Reply::new(452, Status::new(4, 3, 1), "Insufficient system storage");
        self.shared.restrict.note(&self.facts(Stage::Mail), "reject", &reply.one_line());
        Verdict::Refuse(reply)
    }

    /// An address that cannot be resolved is a syntax error. `Err`: the answer.
    async fn resolvable(&mut self, sender: &str, address: &str) -> Result<(), Verdict> {
        if address.is_empty() {
            return Ok(());
        }
        let route = Arc::clone(&self.shared.deps.route);
        match route.resolve(sender, &route.rewrite(RewriteContext::Local, address)).await {
            Ok(r) if r.invalid => Err(Verdict::BadAddress),
            // What cannot be found out is for the restrictions that need it.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn ask_rcpt(&mut self, rcpt: RcptParams) -> Verdict {
        if let Some(reply) = self.too_many(Event::Recipient) {
            return Verdict::Refuse(reply);
        }
        let sender = self.session.transaction().map_or(String::new(), |t| t.mail.sender.clone());
        if let Some(reply) = self.user_has_too_many(Event::Recipient, &sender).await {
            return Verdict::Refuse(reply);
        }
        if let Err(verdict) = self.resolvable(&sender, &rcpt.recipient).await {
            return verdict;
        }
        let outcome = self.restrict_rcpt(Stage::Rcpt, &rcpt.recipient).await;
        let mut verdict = self.verdict(outcome);
        let command = self.command.clone();
        if verdict == Verdict::Accept {
            verdict = self.milter_rcpt(&rcpt, &command).await;
        } else {
            self.milter_rcpt_refused(&rcpt, &command, &verdict).await;
        }
        if verdict != Verdict::Accept {
            return verdict;
        }
        self.add_recipient(rcpt).await
    }

    async fn restrict_rcpt(&mut self, stage: Stage, recipient: &str) -> Outcome {
        let memory: Memory = self.memory.clone();
        let shared = Arc::clone(&self.shared);
        let facts = Facts { recipient: Some(recipient), ..self.facts(stage) };
        shared.restrict.rcpt(&facts, &memory).await
    }

    async fn add_recipient(&mut self, rcpt: RcptParams) -> Verdict {
        let notify =
            Notify { never: rcpt.never, success: rcpt.success, failure: rcpt.failure, delay: rcpt.delay };
        let recipient = Recipient {
            original: rcpt.recipient.clone(),
            address: rcpt.recipient,
            orcpt: if rcpt.orcpt.is_empty() { as_given(&rcpt.text) } else { rcpt.orcpt },
            notify,
            id: 0,
        };
        if self.message.is_none() {
            match Message::open(self).await {
                Ok(message) => self.message = Some(Box::new(message)),
                Err(reply) => return Verdict::Refuse(reply),
            }
        }
        match &mut self.message {
            None => Verdict::Accept,
            Some(m) => match m.recipient(recipient, &self.command).await {
                Ok(()) => Verdict::Accept,
                Err(reply) => Verdict::Refuse(reply),
            },
        }
    }

    async fn ask_vrfy(&mut self, address: &str) -> Verdict {
        if let Some(reply) = self.milter_standing().await {
            return Verdict::Refuse(reply);
        }
        if let Err(verdict) = self.resolvable("", address).await {
            return verdict;
        }
        let outcome = self.restrict_rcpt(Stage::Vrfy, address).await;
        match outcome.refusal {
            None => Verdict::Accept,
            Some(refusal) => Verdict::Refuse(of_refusal(refusal)),
        }
    }

    async fn ask_etrn(&mut self, domain: &str) -> Verdict {
        if let Some(reply) = self.milter_standing().await {
            return Verdict::Refuse(reply);
        }
        let memory = self.memory.clone();
        let shared = Arc::clone(&self.shared);
        let facts = Facts { etrn: Some(domain), ..self.facts(Stage::Etrn) };
        if let Some(refusal) = shared.restrict.etrn(&facts, &memory).await.refusal {
            return Verdict::Refuse(of_refusal(refusal));
        }
        let served = shared.lists.fast_flush_domains.matches(domain).await.unwrap_or(false);
        let result = match &shared.deps.flush {
            Some(flush) if served => flush(domain).await,
            _ => Flush::Unavailable,
        };
        match result {
            Flush::Started => Verdict::Say(Reply::plain(250, "Queuing started")),
            Flush::Unavailable => {
                let from = self.peer.namaddr();
                self.warning(format_args!("reject: ETRN {domain}... from {from}"));
                Verdict::Refuse(Reply::plain(459, format!("<{domain}>: service unavailable")))
            }
        }
    }

    /// `smtpd_client_message_rate_limit`, `smtpd_client_recipient_rate_limit`, `smtpd_client_auth_rate_limit`.
    pub(crate) fn too_many(&mut self, event: Event) -> Option<Reply> {
        let limits = self.shared.config.client_limits;
        let (limit, what, of) = match event {
            Event::Message => (limits.message_rate, "Message delivery request rate", "much mail"),
            Event::Auth => (limits.auth_rate, "AUTH command rate", "many AUTH commands"),
            _ => (limits.recipient_rate, "Recipient address rate", "many recipients"),
        };
        if limit == 0 || !self.limited {
            return None;
        }
        let value = self.counted.as_ref()?.event(event, Instant::now());
        if value <= limit {
            return None;
        }
        self.over_limit(what, value);
        Some(Reply::new(450, Status::new(4, 7, 1), format!("Error: too {of} from {}", self.peer.addr)))
    }
}

/// The ORCPT of a recipient whose client gave none: what the client wrote (RFC 3461 4.2 leaves it to us).
fn as_given(path: &str) -> String {
    let path = path.trim_matches([' ', '\t']);
    let inside = path.strip_prefix('<').and_then(|p| p.strip_suffix('>')).unwrap_or(path);
    format!("rfc822;{inside}")
}
