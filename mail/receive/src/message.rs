//! The message that is coming in: opened at its first recipient, filled, and finished or dropped.

use crate::{connection::Connection, filter, filter::Filter, received::Received, reply::of_submit_error};
use base_calls::{
    BodyType, ClientInfo, Envelope, MessageAction, Origin, QueueId, REQUIRETLS, Recipient, Ret, Submission,
    Timestamp,
};
use base_log::lines::Client;
use proto_address::external;
use proto_message::FirstLine;
use proto_smtp::{BdatFramer, Reply};

/// A message in progress. Dropping it leaves no trace.
pub(crate) struct Message {
    to: To,
    id: Option<QueueId>,
    recipients: u32,
    first: String,
    /// Makes the start of the client's content safe to stand behind our own header.
    start: FirstLine,
    /// Content so far, in whole lines, and the start of the next.
    whole: u64,
    partial: u64,
    /// 0: none.
    limit: u64,
    /// There is no limit, or it is not reached yet.
    too_big: bool,
    /// DISCARD: content is read and thrown away.
    discarded: bool,
    /// The state of a BDAT sequence.
    pub(crate) bdat: Option<BdatFramer>,
}

/// Where a message goes.
enum To {
    Queue(Box<dyn Submission>),
    /// `smtpd_proxy_filter`.
    Filter(Filter),
}

impl To {
    async fn content(&mut self, chunk: &[u8]) {
        match self {
            // The submission remembers an error.
            Self::Queue(submission) => drop(submission.content(chunk).await),
            Self::Filter(filter) => filter.content(chunk).await,
        }
    }
}

/// What a message came to.
pub(crate) enum Finished {
    Queued(QueueId),
    /// The filter's answer.
    Filtered(Reply),
}

impl Message {
    /// Opens a message for the transaction in progress, and logs `client=`. An error is the client's answer.
    pub(crate) async fn open(c: &mut Connection) -> Result<Self, Reply> {
        let to = match filter::Context::of(c) {
            Some(context) => To::Filter(Filter::open(context, &c.mail_command).await?),
            None => {
                let (options, submit) = (c.shared.config.options, &c.shared.deps.submit);
                To::Queue(submit.open(envelope(c), options).map_err(|e| of_submit_error(&e))?)
            }
        };
        let id = match &to {
            To::Queue(submission) => Some(submission.queue_id()),
            To::Filter(_) => None,
        };
        let mut message = Self {
            to,
            id,
            recipients: 0,
            first: String::new(),
            start: FirstLine::default(),
            whole: 0,
            partial: 0,
            limit: c.session.settings().size_limit,
            too_big: false,
            discarded: false,
            bdat: None,
        };
        for action in c.actions.drain(..) {
            message.action(action);
        }
        log_client(c, id.as_ref().map(ToString::to_string).as_deref().unwrap_or("NOQUEUE"));
        Ok(message)
    }

    /// None on the way through a filter.
    pub(crate) fn id(&self) -> Option<QueueId> {
        self.id
    }

    /// As logs have it.
    pub(crate) fn id_text(&self) -> String {
        self.id.map_or_else(|| "NOQUEUE".to_owned(), |id| id.to_string())
    }

    /// Adds a recipient; `command` is what the client said. An error is its answer.
    pub(crate) async fn recipient(&mut self, r: Recipient, command: &str) -> Result<(), Reply> {
        if let To::Filter(filter) = &mut self.to {
            filter.recipient(command).await?;
        }
        self.recipients += 1;
        if self.recipients == 1 {
            self.first.clone_from(&r.address);
        }
        if let To::Queue(submission) = &mut self.to {
            submission.recipient(r);
        }
        Ok(())
    }

    /// The first recipient, for the log.
    pub(crate) fn first_recipient(&self) -> &str {
        &self.first
    }

    /// The client is about to send content. An error is its answer.
    pub(crate) async fn data(&mut self) -> Result<(), Reply> {
        match &mut self.to {
            To::Queue(_) => Ok(()),
            To::Filter(filter) => filter.data().await,
        }
    }

    pub(crate) fn only_recipient(&self) -> Option<&str> {
        (self.recipients == 1).then_some(self.first.as_str())
    }

    pub(crate) fn action(&mut self, action: MessageAction) {
        self.discarded |= action == MessageAction::Discard && self.size() == 0;
        if let To::Queue(submission) = &mut self.to {
            submission.action(action);
        }
    }

    /// Content in wire form. What is over the limit is dropped; errors are remembered by the submission.
    pub(crate) async fn content(&mut self, chunk: &[u8]) {
        match memchr::memrchr(b'\n', chunk) {
            Some(i) => {
                self.whole += self.partial + i as u64 + 1;
                self.partial = (chunk.len() - i - 1) as u64;
            }
            None => self.partial += chunk.len() as u64,
        }
        self.too_big |= self.limit > 0 && self.size() > self.limit;
        if self.too_big || self.discarded {
            return;
        }
        let mut safe = Vec::new();
        let rest = self.start.push(chunk, &mut safe);
        for part in [safe.as_slice(), rest] {
            if !part.is_empty() {
                self.to.content(part).await;
            }
        }
    }

    /// The Received: header field.
    pub(crate) async fn header(&mut self, text: &str) {
        if !self.discarded {
            self.to.content(text.as_bytes()).await;
        }
    }

    /// Bytes of content.
    pub(crate) fn size(&self) -> u64 {
        self.whole + self.partial
    }

    /// Bytes of content in whole lines.
    pub(crate) fn whole_lines(&self) -> u64 {
        self.whole
    }

    pub(crate) fn is_too_big(&self) -> bool {
        self.too_big
    }

    /// Milters that are to see the whole message; on the way through a filter there are none.
    pub(crate) fn filters(&mut self, filters: std::sync::Arc<dyn base_calls::Filters>) {
        if let To::Queue(submission) = &mut self.to {
            submission.filters(filters);
        }
    }

    /// The end. An error is the client's answer.
    pub(crate) async fn finish(mut self) -> Result<Finished, Reply> {
        if let Some(id) = self.id.filter(|_| self.discarded) {
            return Ok(Finished::Queued(id));
        }
        let mut rest = Vec::new();
        self.start.finish(&mut rest);
        if !rest.is_empty() {
            self.to.content(&rest).await;
        }
        match self.to {
            To::Queue(submission) => submission
                .finish()
                .await
                .map(|done| Finished::Queued(done.id))
                .map_err(|e| of_submit_error(&e)),
            To::Filter(mut filter) => filter.finish().await.map(Finished::Filtered),
        }
    }
}

fn envelope(c: &Connection) -> Envelope {
    let mail = c.session.transaction().map(|t| t.mail.clone()).unwrap_or_default();
    Envelope {
        arrival: Timestamp::now(),
        envid: mail.envid,
        ret: mail.ret_full.map(|full| if full { Ret::Full } else { Ret::Hdrs }),
        body: match mail.eight_bit {
            None => BodyType::Unknown,
            Some(false) => BodyType::SevenBit,
            Some(true) => BodyType::EightBitMime,
        },
        smtputf8: mail.smtputf8,
        sender: mail.sender,
        origin: Origin::Smtpd,
        client: client_info(c),
        content_filter: c.shared.config.content_filter.clone(),
        rewrite_local: c.forwarded.as_ref().and_then(|f| f.local).unwrap_or(c.rewrite_local),
        verp: mail.verp,
        attributes: server(c)
            .into_iter()
            .chain(log_ident(c))
            .chain(mail.requiretls.then(|| (REQUIRETLS.to_owned(), "yes".to_owned())))
            .collect(),
        ..Envelope::default()
    }
}

/// Our end of the connection, which policies and filters may ask for.
fn server(c: &Connection) -> Vec<(String, String)> {
    let address = c.peer.server_ip.map(|ip| ("server_address".to_owned(), ip.to_string()));
    let port = address.as_ref().map(|_| ("server_port".to_owned(), c.server_port.to_string()));
    address.into_iter().chain(port).collect()
}

/// The queue id under which another server of ours knows the message, for XFORWARD to the next.
fn log_ident(c: &Connection) -> Option<(String, String)> {
    let ident = c.forwarded.as_ref().map(|f| f.ident.clone()).filter(|i| !i.is_empty())?;
    Some(("log_ident".to_owned(), ident))
}

fn client_info(c: &Connection) -> ClientInfo {
    let login = c.login.clone().unwrap_or_default();
    let sender = c.session.transaction().map_or(String::new(), |t| t.mail.auth.clone());
    let sasl = ClientInfo {
        sasl_method: login.method,
        sasl_username: login.username,
        sasl_sender: sender,
        ..ClientInfo::default()
    };
    if let Some(f) = &c.forwarded {
        let f = f.client.clone();
        return ClientInfo {
            name: f.name,
            reverse_name: f.reverse_name,
            addr: f.addr,
            port: f.port,
            helo: f.helo,
            protocol: f.protocol,
            ..sasl
        };
    }
    ClientInfo {
        name: c.peer.name.clone(),
        reverse_name: c.peer.reverse_name.clone(),
        addr: c.peer.addr.clone(),
        port: c.port,
        helo: c.session.helo().unwrap_or_default().to_owned(),
        protocol: c.session.protocol().to_owned(),
        ..sasl
    }
}

fn log_client(c: &Connection, id: &str) {
    let forwarded = c.forwarded.as_deref();
    let ident = forwarded.map_or("", |f| f.ident.as_str());
    let origin = forwarded.map_or(String::new(), |f| format!("{}[{}]", f.client.name, f.client.addr));
    let sasl = c.login.as_ref().map_or(("", ""), |l| (l.method.as_str(), l.username.as_str()));
    let sender = c.session.transaction().map_or(String::new(), |t| login_sender(&t.mail.auth));
    let more = [
        ("sasl_method", sasl.0),
        ("sasl_username", sasl.1),
        ("sasl_sender", sender.as_str()),
        ("orig_queue_id", ident),
        ("orig_client", origin.as_str()),
    ];
    let line = Client { id, name: &c.peer.name, addr: &c.peer.addr, port: &c.peer.port_shown, more: &more };
    c.shared.deps.log.line(&c.source, &line);
}

/// `AUTH=` as the log shows it: in xtext, and nothing for `<>`.
fn login_sender(auth: &str) -> String {
    if auth == "<>" { String::new() } else { proto_address::xtext_encode(auth.as_bytes()) }
}

/// `smtpd_tls_received_header`: what is known of the encrypted session.
fn tls_lines(c: &Connection) -> Option<String> {
    let session = c.tls_session.as_ref().filter(|_| c.shared.config.tls.received_header)?;
    let asked = c.shared.tls.as_ref().is_some_and(|t| t.asks);
    Some(crate::received::tls_lines(session, asked))
}

/// RFC 3848, RFC 6531: `ESMTPSA`.
fn protocol(c: &Connection, utf8: bool) -> String {
    let base = if utf8 { "UTF8SMTP" } else { c.session.protocol() };
    if base == "SMTP" {
        return base.to_owned();
    }
    let secure = if c.tls.is_some() { "S" } else { "" };
    let login = if c.login.is_some() { "A" } else { "" };
    format!("{base}{secure}{login}")
}

/// The Received: header field of the message that is about to come in.
pub(crate) fn received(c: &Connection, m: &Message) -> String {
    let utf8 = c.session.transaction().is_some_and(|t| t.mail.smtputf8);
    let recipient = m.only_recipient().map(external);
    Received {
        helo: c.session.helo(),
        client: &c.peer,
        tls: tls_lines(c).as_deref(),
        myhostname: c.hostname(),
        mail_name: &c.shared.config.mail_name,
        protocol: &protocol(c, utf8),
        id: m.id().map(|id| id.to_string()).as_deref(),
        recipient: recipient.as_deref(),
        date: &Timestamp::now().mail_date(),
        login: c
            .login
            .as_ref()
            .filter(|_| c.shared.config.sasl.authenticated_header)
            .map(|l| l.username.as_str()),
    }
    .text()
}
