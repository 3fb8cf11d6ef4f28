//! One connection from greeting to disconnect: the loop around the pure session.

use crate::{
    anvil, client,
    config::{LocalRewrite, Pressure, discard_for, discard_text},
    escape::escaped,
    message::Message,
    reply::with_footer,
    server::Shared,
    transcript::Transcript,
    xclient::Forwarded,
};
use base_calls::{MessageAction, Timestamp};
use base_log::{
    Source,
    lines::{CommandCount, Connect, Disconnect},
};
use base_net::{BoxIo, Ending, Excess, LineStream, NetError};
use mail_restrict::{Facts, Memory, Peer, Stage};
use proto_dsn::Status;
use proto_smtp::{
    BareLf, Keyword, Reply, Verb,
    server::{Next, Note, Session, Settings},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

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
    /// Actions of access tables before the message is open.
    pub(crate) actions: Vec<MessageAction>,
    pub(crate) forwarded: Option<Box<Forwarded>>,
    pub(crate) bare_lf: BareLf,
    pub(crate) rewrite_local: bool,
    /// Input came when the client should have waited.
    pub(crate) pipelined: bool,
    /// For the log, when the connection is lost within content.
    pub(crate) content_bytes: Option<u64>,
    pub(crate) transcript: Transcript,
    stressed: bool,
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
            actions: Vec::new(),
            forwarded: None,
            bare_lf: config.bare_lf,
            rewrite_local: false,
            pipelined: false,
            content_bytes: None,
            transcript,
            stressed,
        }
    }

    pub(crate) async fn run(mut self) {
        let result = match Box::pin(self.greet()).await {
            Ok(Flow::Continue) => self.converse().await,
            Ok(Flow::Close) => Ok(()),
            Err(e) => Err(e),
        };
        if let Err(e) = result {
            Box::pin(self.broken(e)).await;
        }
        self.disconnected();
        Box::pin(self.notify()).await;
        let _ = self.stream.close().await;
    }

    pub(crate) fn pressure(&self) -> &Pressure {
        if self.stressed { &self.shared.config.stress } else { &self.shared.config.normal }
    }

    pub(crate) fn hostname(&self) -> &str {
        &self.shared.config.myhostname
    }

    // The beginning.

    async fn greet(&mut self) -> Result<Flow, NetError> {
        let shared = Arc::clone(&self.shared);
        if shared.config.peername_lookup {
            client::find_names(&mut self.peer, &shared.deps.resolver, &shared.deps.log, &self.source).await;
        }
        shared.deps.log.line(&self.source, &Connect { name: &self.peer.name, addr: &self.peer.addr });
        self.limited = !matches(&self.peer, &shared.lists.limit_exceptions).await;
        if !self.count_connection() {
            let text = format!("{} Error: too many connections from {}", self.hostname(), self.peer.addr);
            return self.close_with(Reply::new(421, Status::new(4, 7, 0), text)).await;
        }
        self.settle().await;
        if let Some(flow) = self.early_talk().await? {
            return Ok(flow);
        }
        let (reply, flow) = self.greeting().await;
        self.send(reply).await?;
        Ok(flow)
    }

    /// Settings that depend on who the client is.
    pub(crate) async fn settle(&mut self) {
        let settings = self.settings_for_client().await;
        self.session.restart(settings);
        let shared = Arc::clone(&self.shared);
        if shared.config.bare_lf != BareLf::Allow
            && matches(&self.peer, &shared.lists.bare_lf_exclusions).await
        {
            self.bare_lf = BareLf::Allow;
        }
        self.rewrite_local = self.rewrites_locally().await;
    }

    async fn settings_for_client(&mut self) -> Settings {
        let shared = Arc::clone(&self.shared);
        let mut settings = shared.config.settings.clone();
        settings.limits = self.pressure().limits;
        settings.xclient = matches(&self.peer, &shared.lists.xclient).await;
        settings.xforward = matches(&self.peer, &shared.lists.xforward).await;
        settings.verp = matches(&self.peer, &shared.lists.verp).await;
        if !shared.lists.discard.is_empty() {
            let own = shared.lists.discard.find(&self.peer.addr).await.unwrap_or_default();
            let (set, bad) = discard_for(own, settings.discarded);
            settings.discarded = set;
            if let Some(word) = bad {
                shared.deps.log.warning(&self.source, format_args!("unknown EHLO keyword: {word}"));
            }
        }
        settings
    }

    /// `local_header_rewrite_clients`.
    async fn rewrites_locally(&mut self) -> bool {
        let Some(ip) = self.peer.ip else { return true };
        let shared = Arc::clone(&self.shared);
        for rule in &shared.lists.local_rewrite {
            let yes = match rule {
                LocalRewrite::InetInterfaces => ip.is_loopback() || self.peer.server_ip == Some(ip),
                LocalRewrite::Mynetworks => matches(&self.peer, &shared.lists.mynetworks).await,
                LocalRewrite::SaslAuthenticated => false,
                LocalRewrite::AddressMap(maps) => maps.find(&self.peer.addr).await.is_ok_and(|v| v.is_some()),
            };
            if yes {
                return true;
            }
        }
        false
    }

    /// Counts the client; false: there are too many of it.
    fn count_connection(&mut self) -> bool {
        let config = &self.shared.config;
        let (unit, limits) = (config.rate_unit, config.client_limits);
        if self.peer.ip.is_none() {
            return true;
        }
        let (counted, n) =
            self.shared.deps.anvil.connect(&self.shared.service, &self.peer.addr, unit, Instant::now());
        self.counted = Some(counted);
        let over = |value: u32, limit: u32| limit > 0 && value > limit && self.limited;
        if over(n.open, limits.connections) {
            self.over_limit("Connection concurrency", n.open);
            return false;
        }
        if over(n.rate, limits.connection_rate) {
            self.over_limit("Connection rate", n.rate);
            return false;
        }
        true
    }

    pub(crate) fn over_limit(&self, what: &str, value: u32) {
        let (from, service) = (self.peer.namaddr(), &self.shared.service);
        self.warning(format_args!("{what} limit exceeded: {value} from {from} for service {service}"));
    }

    /// The client talks before it was greeted.
    async fn early_talk(&mut self) -> Result<Option<Flow>, NetError> {
        if self.stream.arrived().await && self.improper_pipelining() {
            return self.close_with(synchronization()).await.map(Some);
        }
        Ok(None)
    }

    /// The banner, or a refusal in its place.
    pub(crate) async fn greeting(&mut self) -> (Reply, Flow) {
        let mut memory = std::mem::take(&mut self.memory);
        let shared = Arc::clone(&self.shared);
        let outcome = shared.restrict.connect(&self.facts(Stage::Connect), &mut memory).await;
        self.memory = memory;
        let Some(refusal) = outcome.refusal else {
            return (Reply::plain(220, shared.config.banner.clone()), Flow::Continue);
        };
        let denied = format!("Error: access denied for {}", self.peer.namaddr());
        self.session.deny(Reply::new(503, Status::new(5, 7, 0), denied));
        let closing = matches!(refusal.code, 421 | 521);
        (crate::reply::of_refusal(refusal), if closing { Flow::Close } else { Flow::Continue })
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
        let waits = self.session.must_wait_after(&line);
        if waits && self.stream.has_buffered() && !is_bdat(&line) && self.improper_after(&line) {
            self.session.begin(&line);
            return self.close_with(synchronization()).await;
        }
        let next = match self.special(&line).await {
            Some(next) => next,
            None => self.session.command(&line),
        };
        self.log_notes();
        let flow = self.perform(next).await?;
        self.log_notes();
        if self.session.transaction().is_none() {
            self.message = None;
            self.content_bytes = None;
            self.actions.clear();
            self.memory.end_of_transaction();
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
            return Some(self.session.command(b"NOOP"));
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
    fn improper_after(&mut self, line: &[u8]) -> bool {
        let verb = std::str::from_utf8(line).ok().and_then(Verb::of).map_or(Verb::Unknown, |(v, _)| v);
        self.improper(verb.name())
    }

    fn improper_pipelining(&mut self) -> bool {
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
            client: &self.peer.namaddr(),
            text: "bare <LF> received",
            context: &context,
        };
        self.shared.deps.log.line(&self.source, &line);
        let text = format!("{} Error: bare <LF> received", self.hostname());
        Reply::new(self.shared.config.bare_lf_code, Status::new(5, 5, 2), text)
    }

    // Sending.

    pub(crate) async fn send(&mut self, mut reply: Reply) -> Result<(), NetError> {
        if self.session.is_slow() && !self.shared.config.error_sleep.is_zero() {
            self.stream.flush().await?;
            tokio::time::sleep(self.shared.config.error_sleep).await;
        }
        self.finish_reply(&mut reply);
        self.transcript.server(&reply);
        reply.write_to(self.stream.output());
        // What is queued goes out with the next wait for input; a batch of commands gets its replies together.
        if self.stream.output().len() > 16 * 1024 {
            self.stream.flush().await?;
        }
        Ok(())
    }

    fn finish_reply(&self, reply: &mut Reply) {
        if self.session.settings().discarded.has(Keyword::EnhancedStatusCodes) {
            reply.status = None;
        }
        with_footer(reply, &self.shared.config.footer, |name| self.footer_value(name));
    }

    fn footer_value(&self, name: &str) -> Option<String> {
        Some(match name {
            "client_address" => self.peer.addr.clone(),
            "client_name" => self.peer.name.clone(),
            "client_port" => self.port.to_string(),
            "helo_name" => self.session.helo()?.to_owned(),
            "sender" => self.session.transaction()?.mail.sender.clone(),
            "server_name" => self.hostname().to_owned(),
            "localtime" => Timestamp::now().mail_date(),
            _ => return None,
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
        self.message.as_ref().map_or_else(|| "NOQUEUE".to_owned(), |m| m.id().to_string())
    }

    pub(crate) fn log_notes(&mut self) {
        for note in self.session.take_notes() {
            self.log_note(note);
        }
    }

    fn log_note(&mut self, note: Note) {
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
            queue_id: self.message.as_ref().map(|m| m.id()),
            pipelined: self.pipelined,
            sasl_username: None,
            encrypted: false,
            size: transaction.map_or(0, |t| t.mail.size),
        }
    }

    // The end.

    async fn broken(&mut self, e: NetError) {
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
        let line = Disconnect { name: &self.peer.name, addr: &self.peer.addr, commands: &counts };
        self.shared.deps.log.line(&self.source, &line);
    }
}

/// Whether the list has the client. A list that cannot be asked has nobody.
async fn matches(peer: &Peer, list: &base_tables::MatchList) -> bool {
    let Some(ip) = peer.ip else { return !list.is_empty() };
    match list.matches_client_now(&peer.name, ip) {
        Some(answer) => answer.unwrap_or(false),
        None => list.matches_client(&peer.name, ip).await.unwrap_or(false),
    }
}

/// BDAT's chunk follows the command at once.
fn is_bdat(line: &[u8]) -> bool {
    std::str::from_utf8(line).ok().and_then(Verb::of).is_some_and(|(v, _)| v == Verb::Bdat)
}

fn synchronization() -> Reply {
    Reply::new(554, Status::new(5, 5, 0), "Error: SMTP protocol synchronization")
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
