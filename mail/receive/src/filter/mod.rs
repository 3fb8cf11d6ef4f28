//! `smtpd_proxy_filter`: mail goes through a before-queue content filter instead of into our queue
//! (SMTPD_PROXY_README).
//!
//! A [`Filter`] stands where a message's submission would. The client's MAIL and RCPT commands are passed on as they came,
//! and the filter's refusals and its answer to the content are the client's answers. What goes wrong between us and the
//! filter is `451 4.3.0 Error: queue file write error`, as Postfix calls it. With `smtpd_proxy_options = speed_adjust` the
//! filter is not bothered before the client has sent everything.

mod buffer;
mod dialogue;

use crate::connection::Connection;
use base_conf::{Config, Error};
use base_dns::Resolver;
use base_log::{Log, Source};
use base_net::Endpoint;
use buffer::Buffer;
use dialogue::Dialogue;
use proto_dsn::Status;
use proto_smtp::Reply;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// The parameters.
#[derive(Debug, Clone)]
pub(crate) struct FilterSettings {
    /// As written, for the log.
    pub name: String,
    pub place: Endpoint,
    /// `smtpd_proxy_ehlo`.
    pub ehlo: String,
    pub speed_adjust: bool,
    pub time_limit: Duration,
    pub queue_directory: PathBuf,
    /// Where content is that memory shall not hold.
    pub data_directory: PathBuf,
}

impl FilterSettings {
    /// `None` without a filter.
    pub fn new(c: &Config) -> Result<Option<Arc<Self>>, Error> {
        let name = c.str("smtpd_proxy_filter")?;
        if name.is_empty() {
            return Ok(None);
        }
        let mut speed_adjust = false;
        for word in c.list("smtpd_proxy_options")? {
            match word.as_str() {
                "speed_adjust" => speed_adjust = true,
                _ => return Err(Error::new(format!("unknown smtpd_proxy_options value \"{word}\""))),
            }
        }
        let place = Endpoint::parse(&name, None);
        Ok(Some(Arc::new(Self {
            place: place.map_err(|e| Error::new(format!("bad smtpd_proxy_filter parameter: {e}")))?,
            name,
            ehlo: c.str("smtpd_proxy_ehlo")?,
            speed_adjust,
            time_limit: c.time("smtpd_proxy_timeout")?,
            queue_directory: c.str("queue_directory")?.into(),
            data_directory: c.str("data_directory")?.into(),
        })))
    }
}

/// What a filter needs to know and to speak with.
#[derive(Clone)]
pub(crate) struct Context {
    pub settings: Arc<FilterSettings>,
    pub resolver: Resolver,
    pub log: Log,
    pub source: Source,
    /// XFORWARD attributes, in order; an empty value is not available.
    pub client: Vec<(&'static str, String)>,
}

impl Context {
    /// Of a connection; `None` without a filter.
    pub fn of(c: &Connection) -> Option<Self> {
        let settings = c.shared.config.filter.clone()?;
        Some(Self {
            settings,
            resolver: c.shared.deps.resolver.clone(),
            log: c.shared.deps.log.clone(),
            source: c.source.clone(),
            client: client(c),
        })
    }
}

/// Who the client is, or who it says that its own client was.
fn client(c: &Connection) -> Vec<(&'static str, String)> {
    let forwarded = c.forwarded.as_deref();
    let local = forwarded.and_then(|f| f.local).unwrap_or(c.rewrite_local);
    let source = if local { "LOCAL" } else { "REMOTE" };
    let known =
        |text: &str| if text.eq_ignore_ascii_case("unknown") { String::new() } else { text.to_owned() };
    let address = |text: &str| if text.contains(':') { format!("IPv6:{text}") } else { known(text) };
    let port = |n: u16| if n == 0 { String::new() } else { n.to_string() };
    let [name, addr, port, helo, ident, proto] = match forwarded {
        Some(f) => {
            let k = &f.client;
            let said = [k.helo.clone(), f.ident.clone(), k.protocol.clone()];
            let [helo, ident, proto] = said;
            [known(&k.name), address(&k.addr), port(k.port), helo, ident, proto]
        }
        None => [
            known(&c.peer.name),
            address(&c.peer.addr),
            port(c.port),
            c.session.helo().unwrap_or_default().to_owned(),
            String::new(),
            c.session.protocol().to_owned(),
        ],
    };
    vec![
        ("NAME", name),
        ("ADDR", addr),
        ("PORT", port),
        ("HELO", helo),
        ("IDENT", ident),
        ("PROTO", proto),
        ("SOURCE", source.to_owned()),
    ]
}

/// One message on its way through the filter. Dropping it says goodbye to the filter.
pub(crate) struct Filter {
    context: Context,
    state: State,
}

enum State {
    /// The filter is told as the client speaks.
    Talking(Box<Dialogue>),
    /// `speed_adjust`: what the filter will be told.
    Waiting { commands: Vec<String>, content: Buffer },
    /// The conversation is over.
    Broken,
}

/// What a client hears when the filter is not to be had.
pub(crate) fn unavailable() -> Reply {
    Reply::new(451, Status::new(4, 3, 0), "Error: queue file write error")
}

impl Filter {
    /// Starts a message; `mail` is the client's MAIL command. An error is the client's answer.
    pub async fn open(context: Context, mail: &str) -> Result<Self, Reply> {
        let state = match context.settings.speed_adjust {
            true => State::Waiting { commands: vec![mail.to_owned()], content: Buffer::default() },
            false => {
                let mut dialogue = Dialogue::open(&context).await?;
                dialogue.pass(mail).await?;
                State::Talking(Box::new(dialogue))
            }
        };
        Ok(Self { context, state })
    }

    /// Passes a RCPT command on.
    pub async fn recipient(&mut self, command: &str) -> Result<(), Reply> {
        match &mut self.state {
            State::Talking(dialogue) => dialogue.pass(command).await,
            State::Waiting { commands, .. } => {
                commands.push(command.to_owned());
                Ok(())
            }
            State::Broken => Err(unavailable()),
        }
    }

    /// The client wants to send content.
    pub async fn data(&mut self) -> Result<(), Reply> {
        match &mut self.state {
            State::Talking(dialogue) => dialogue.data().await,
            State::Waiting { .. } => Ok(()),
            State::Broken => Err(unavailable()),
        }
    }

    /// Content in wire form. What goes wrong shows at the end.
    pub async fn content(&mut self, chunk: &[u8]) {
        let done = match &mut self.state {
            State::Talking(dialogue) => dialogue.content(chunk).await.is_ok(),
            State::Waiting { content, .. } => content.push(chunk, &self.context.settings).is_ok(),
            State::Broken => return,
        };
        if !done {
            self.state = State::Broken;
        }
    }

    /// The content is complete: the client's answer.
    pub async fn finish(&mut self) -> Result<Reply, Reply> {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Talking(mut dialogue) => dialogue.end().await,
            State::Waiting { commands, content } => replay(&self.context, &commands, content).await,
            State::Broken => Err(unavailable()),
        }
    }
}

/// Tells the filter all at once.
async fn replay(context: &Context, commands: &[String], content: Buffer) -> Result<Reply, Reply> {
    let mut dialogue = Dialogue::open(context).await?;
    for command in commands {
        dialogue.pass(command).await?;
    }
    dialogue.data().await?;
    let mut at = 0;
    loop {
        let chunk = content.chunk(at).map_err(|_| unavailable())?;
        if chunk.is_empty() {
            return dialogue.end().await;
        }
        at += chunk.len() as u64;
        dialogue.content(&chunk).await.map_err(|_| unavailable())?;
    }
}
