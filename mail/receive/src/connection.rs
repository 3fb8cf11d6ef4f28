//! One connection from greeting to disconnect: the loop around the pure session.

use crate::{
    anvil, config::Pressure, escape::escaped, message::Message, server::Shared, transcript::Transcript,
    xclient::Forwarded,
};
use base_calls::MessageAction;
use base_log::{
    Source,
    lines::{CommandCount, Disconnect},
};
use base_net::{BoxIo, Ending, Excess, LineStream, NetError};
use base_sasl::Mechanism;
use mail_restrict::{Answers, Login, Memory, Peer, Stage, Tape, Tls};
use proto_dsn::Status;
use proto_smtp::{
    BareLf, Reply, Verb,
    server::{Next, Note, Session},
};
use std::{sync::Arc, time::Duration};

/// The longest way to a decision that is kept, in bytes.
pub(crate) const TAPE: usize = 4096;

/// How a conversation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    Close,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) stream: LineStream<BoxIo>,
    pub(crate) session: Session,
    pub(crate) peer: Peer,
    pub(crate) port: u16,
    pub(crate) source: Source,
    pub(crate) memory: Memory,
    pub(crate) counted: Option<anvil::Connection>,
    /// The client is not in `smtpd_client_event_limit_exceptions`.
    pub(crate) limited: bool,
    pub(crate) message: Option<Box<Message>>,
    /// The command in progress, and the MAIL command, as they came; only kept for `smtpd_proxy_filter` and milters.
    pub(crate) command: String,
    pub(crate) mail_command: String,
    /// Filters that are told of everything.
    pub(crate) milters: Option<base_milter::Shared>,
    /// The HELO name while it is not accepted yet.
    pub(crate) greeted_as: Option<String>,
    /// Connections of this client, this one included; 0: not counted.
    pub(crate) open_connections: u32,
    /// Actions of access tables before the message is open.
    pub(crate) actions: Vec<MessageAction>,
    /// What access tables want for the message in progress.
    pub(crate) held: bool,
    pub(crate) discarded: bool,
    pub(crate) forwarded: Option<Box<Forwarded>>,
    pub(crate) bare_lf: BareLf,
    pub(crate) rewrite_local: bool,
    /// Input came when the client should have waited.
    pub(crate) pipelined: bool,
    /// For the log, when the connection is lost within content.
    pub(crate) content_bytes: Option<u64>,
    pub(crate) transcript: Transcript,
    /// Ours, 0 for a UNIX-domain client.
    pub(crate) server_port: u16,
    /// How the client logged in.
    pub(crate) login: Option<Login>,
    /// What it may log in with.
    pub(crate) mechanisms: Vec<Mechanism>,
    /// The last name with which a login failed.
    pub(crate) last_login_name: Option<String>,
    /// What the handshake has agreed.
    pub(crate) tls_session: Option<Box<base_tls::Session>>,
    /// The service cannot go on: the end of this session is not logged.
    pub(crate) silent_end: bool,
    /// The loss of the connection is our doing, and said already.
    pub(crate) quiet_loss: bool,
    /// The encrypted session.
    pub(crate) tls: Option<Tls>,
    /// Of the transaction, for policy services.
    pub(crate) instance: u64,
    /// What DNS has said.
    pub(crate) answers: Answers,
    pub(crate) stressed: bool,
    /// postscreen(8) has seen it already.
    pub(crate) screened: bool,
    /// Sessions that the service may have at once; 0: any number.
    pub(crate) places: usize,
    /// The way to the next decision, if decisions are kept.
    pub(crate) tape: Option<Tape>,
}

impl Connection {
    pub(crate) fn new(
        shared: Arc<Shared>,
        stream: LineStream<BoxIo>,
        peer: Peer,
        port: u16,
        stressed: bool,
    ) -> Self {
        let config = Arc::clone(&shared.config);
        let source = shared.deps.log.session_source(Arc::clone(&shared.source_name));
        let transcript = Transcript::new(&config.notify);
        let tape = shared.deps.decisions.keep_any().then(|| Tape::new(TAPE));
        Self {
            session: Session::new(config.settings.clone()),
            shared,
            stream,
            peer,
            port,
            source,
            memory: Memory::default(),
            counted: None,
            limited: true,
            message: None,
            command: String::new(),
            mail_command: String::new(),
            milters: None,
            greeted_as: None,
            open_connections: 0,
            actions: Vec::new(),
            held: false,
            discarded: false,
            forwarded: None,
            bare_lf: config.bare_lf,
            rewrite_local: false,
            pipelined: false,
            content_bytes: None,
            transcript,
            server_port: 0,
            login: None,
            mechanisms: Vec::new(),
            last_login_name: None,
            tls_session: None,
            silent_end: false,
            quiet_loss: false,
            tls: None,
            instance: first_instance(),
            answers: Answers::default(),
            stressed,
            places: 0,
            screened: false,
            tape,
        }
    }

    pub(crate) async fn run(mut self) {
        let result = match Box::pin(self.greet()).await {
            Ok(Flow::Continue) => self.converse().await,
            Ok(Flow::Close) => Ok(()),
            Err(e) => Err(e),
        };
        if self.silent_end {
            self.milter_quit().await;
            let _ = self.stream.close().await;
            return;
        }
        if let Err(e) = result {
            Box::pin(self.broken(e)).await;
        }
        self.disconnected();
        self.milter_quit().await;
        Box::pin(self.notify()).await;
        let _ = self.stream.close().await;
    }

    pub(crate) fn pressure(&self) -> &Pressure {
        self.shared.config.pressure(self.stressed)
    }

    pub(crate) fn hostname(&self) -> &str {
        &self.shared.config.myhostname
    }

    // The middle.

    async fn converse(&mut self) -> Result<(), NetError> {
        loop {
            let (line, ending) = self.read_command().await?;
            if ending == Ending::Cut {
                let shown: String = String::from_utf8_lossy(&line).chars().take(30).collect();
                let (from, limit) = (self.peer.namaddr(), self.shared.config.line_limit);
                self.warning(format_args!("{from}: request longer than {limit}: {shown}..."));
            }
            if ending == Ending::Lf && self.bare_lf == BareLf::Reject {
                let stage = self.session.last_verb().map_or("CONNECT", Verb::name);
                let reply = self.bare_lf_refused(stage);
                self.close_with(reply).await?;
                return Ok(());
            }
            if self.one_command(line).await? == Flow::Close {
                return Ok(());
            }
        }
    }

    async fn read_command(&mut self) -> Result<(Vec<u8>, Ending), NetError> {
        if self.pressure().per_request_deadline {
            self.stream.begin_request(None);
        }
        let line = self.stream.read_line(self.shared.config.line_limit, Excess::Skip).await?;
        Ok((line.bytes.to_vec(), line.ending))
    }

    async fn one_command(&mut self, line: Vec<u8>) -> Result<Flow, NetError> {
        self.transcript.client(&line);
        let line = self.filtered(line).await;
        if self.shared.config.filter.is_some() || self.milters.is_some() {
            self.command = String::from_utf8_lossy(&line).into_owned();
        }
        let waits = self.session.must_wait_after(&line);
        if waits && self.stream.has_buffered() && !is_bdat(&line) && self.improper_after(&line) {
            self.session.begin(&line);
            return self.close_with(synchronization()).await;
        }
        let next = match self.special(&line).await {
            Some(next) => next,
            None if self.milters.is_some() && is_unknown(&line) => {
                let next = self.session.command(&line);
                Box::pin(self.milter_unknown(&line, next)).await
            }
            None => self.session.command(&line),
        };
        self.log_notes();
        let flow = self.perform(next).await?;
        self.log_notes();
        if self.session.transaction().is_none() {
            self.message = None;
            self.content_bytes = None;
            self.actions.clear();
            (self.held, self.discarded) = (false, false);
            self.memory.end_of_transaction();
            self.instance += 1;
            self.milter_end().await;
        }
        Ok(flow)
    }

    async fn perform(&mut self, mut next: Next) -> Result<Flow, NetError> {
        loop {
            next = match next {
                Next::Reply(reply) => {
                    self.send(reply).await?;
                    return Ok(Flow::Continue);
                }
                Next::Close { reply, too_many_errors } => {
                    self.send(reply).await?;
                    if let Some(last) = too_many_errors {
                        let verb = self.session.last_verb().map_or("CONNECT", Verb::name);
                        let from = self.peer.namaddr();
                        self.info(format_args!("too many errors after {verb} from {from}"));
                        self.send(last).await?;
                    }
                    self.stream.flush().await?;
                    return Ok(Flow::Close);
                }
                Next::Silence => return Ok(Flow::Continue),
                Next::Ask(ask) => Box::pin(self.asked(ask)).await?,
                Next::Chunk { chunk, refused, first } => {
                    Box::pin(self.chunk(chunk, refused.is_some(), first)).await?
                }
            };
        }
    }

    /// `smtpd_command_filter`.
    async fn filtered(&mut self, line: Vec<u8>) -> Vec<u8> {
        let shared = Arc::clone(&self.shared);
        let filter = &shared.lists.command_filter;
        if filter.is_empty() {
            return line;
        }
        let Ok(text) = std::str::from_utf8(&line) else { return line };
        match filter.find(text).await {
            Ok(Some(new)) => {
                let from = self.peer.namaddr();
                self.info(format_args!("{from}: replacing command \"{text}\" with \"{new}\""));
                new.into_bytes()
            }
            Ok(None) => line,
            Err(_) => {
                self.warning(format_args!("smtpd_command_filter map lookup error"));
                line
            }
        }
    }

    /// `smtpd_noop_commands` and `smtpd_forbidden_commands`.
    async fn special(&mut self, line: &[u8]) -> Option<Next> {
        let text = std::str::from_utf8(line).ok()?;
        let word = text.split_ascii_whitespace().next()?;
        let is = |w: &String| w.eq_ignore_ascii_case(word);
        if !self.shared.config.noop_commands.is_empty() && self.shared.config.noop_commands.iter().any(is) {
            return Some(self.session.ignored());
        }
        if !matches!(Verb::of(text), Some((Verb::Unknown, _))) {
            return None;
        }
        let shared = Arc::clone(&self.shared);
        if !shared.lists.forbidden_commands.matches(word).await.unwrap_or(false) {
            return None;
        }
        self.session.begin(line);
        self.log_note(Note::Foreign(text.to_owned()));
        Some(self.session.goodbye())
    }

    /// Input is there that should not be. True: the client must go.
    pub(crate) fn improper_after(&mut self, line: &[u8]) -> bool {
        let verb = std::str::from_utf8(line).ok().and_then(Verb::of).map_or(Verb::Unknown, |(v, _)| v);
        self.improper(verb.name())
    }

    pub(crate) fn improper_pipelining(&mut self) -> bool {
        self.improper("CONNECT")
    }

    /// Logs improper pipelining, once. True: the client must go.
    pub(crate) fn improper(&mut self, stage: &str) -> bool {
        if !std::mem::replace(&mut self.pipelined, true) {
            let (from, text) = (self.peer.namaddr(), escaped(self.stream.buffered()));
            self.info(format_args!("improper command pipelining after {stage} from {from}: {text}"));
        }
        self.shared.config.forbid_pipelining
    }

    pub(crate) fn bare_lf_refused(&self, stage: &str) -> Reply {
        let facts = self.facts(Stage::Connect);
        let sender = facts.sender.map(proto_address::external);
        let only = self.message.as_ref().and_then(|m| m.only_recipient());
        let recipient = only.map(proto_address::external);
        let context = [
            ("from", sender.as_deref()),
            ("to", recipient.as_deref()),
            ("proto", Some(facts.protocol)),
            ("helo", facts.helo),
        ];
        let id = self.queue_id_text();
        let line = base_log::lines::Reject {
            id: &id,
            action: "reject",
            stage,
            restriction: "smtpd_forbid_bare_newline",
            client: &self.peer.namaddr(),
            text: "bare <LF> received",
            context: &context,
        };
        self.shared.deps.log.line(&self.source, &line);
        let text = format!("{} Error: bare <LF> received", self.hostname());
        Reply::new(self.shared.config.bare_lf_code, Status::new(5, 5, 2), text)
    }

    // The end.

    async fn broken(&mut self, e: NetError) {
        if self.quiet_loss {
            return;
        }
        let verb = self.session.last_verb().map_or("CONNECT", Verb::name);
        let bytes = self.content_bytes.map_or(String::new(), |n| format!(" ({n} bytes)"));
        let from = self.peer.namaddr();
        let what = match e {
            NetError::TimedOut => "timeout",
            _ => "lost connection",
        };
        self.info(format_args!("{what} after {verb}{bytes} from {from}"));
        self.transcript.aborted(what);
        if matches!(e, NetError::TimedOut) {
            self.stream.end_request();
            self.stream.set_time_limit(Duration::from_secs(5));
            let text = format!("{} Error: timeout exceeded", self.hostname());
            let _ = self.close_with(Reply::new(421, Status::new(4, 4, 2), text)).await;
        }
    }

    fn disconnected(&mut self) {
        self.message = None;
        let counts: Vec<CommandCount> = self
            .session
            .counters()
            .stats()
            .map(|(verb, c)| CommandCount { name: stat_name(verb), ok: c.ok, total: c.total })
            .collect();
        let line = Disconnect {
            name: &self.peer.name,
            addr: &self.peer.addr,
            port: &self.peer.port_shown,
            commands: &counts,
        };
        self.shared.deps.log.line(&self.source, &line);
    }
}

/// The transactions of a connection count up from the microsecond that it began in.
fn first_instance() -> u64 {
    base_calls::Timestamp::now().0
}

/// A command that there is not.
fn is_unknown(line: &[u8]) -> bool {
    std::str::from_utf8(line).ok().and_then(Verb::of).is_some_and(|(v, _)| v == Verb::Unknown)
}

/// BDAT's chunk follows the command at once.
fn is_bdat(line: &[u8]) -> bool {
    std::str::from_utf8(line).ok().and_then(Verb::of).is_some_and(|(v, _)| v == Verb::Bdat)
}

fn stat_name(verb: Verb) -> &'static str {
    match verb {
        Verb::Helo => "helo",
        Verb::Ehlo => "ehlo",
        Verb::Xclient => "xclient",
        Verb::Xforward => "xforward",
        Verb::StartTls => "starttls",
        Verb::Auth => "auth",
        Verb::Mail => "mail",
        Verb::Rcpt => "rcpt",
        Verb::Data => "data",
        Verb::Bdat => "bdat",
        Verb::Rset => "rset",
        Verb::Noop => "noop",
        Verb::Vrfy => "vrfy",
        Verb::Etrn => "etrn",
        Verb::Quit => "quit",
        Verb::Help => "help",
        Verb::Unknown => "unknown",
    }
}

/// `554 5.5.0`: the client must go.
pub(crate) fn synchronization() -> Reply {
    Reply::new(554, Status::new(5, 5, 0), "Error: SMTP protocol synchronization")
}
