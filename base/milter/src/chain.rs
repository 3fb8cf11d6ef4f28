//! All milters of one client connection, in order; the first one that says something else than "go on" has the word.

use crate::{
    Lists, Settings,
    link::{Link, words},
    message,
    settings::configuration_problem,
};
use base_calls::{Filtered, Filters, Fut};
use proto_milter::{Edit, Event, Next, Session, Verdict, packet, parse};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// The changes that a milter asks for.
#[derive(Default)]
pub(crate) struct Edits<'m> {
    /// Where pieces of a new body go at once.
    pub message: Option<&'m mut dyn Filtered>,
    /// All others, for the end.
    pub list: Vec<Edit>,
    /// Their bytes.
    pub size: usize,
}

/// What a chain has to tell the log.
pub type Warn<'a> = &'a (dyn Fn(&str) + Sync);

/// One milter.
pub(crate) struct One {
    settings: Settings,
    session: Session,
    link: Option<Link>,
    /// The default action was looked at, and complained about.
    complained: bool,
    /// It has been connected to.
    begun: bool,
}

/// The milters of a connection.
pub struct Chain {
    pub(crate) all: Vec<One>,
    pub(crate) lists: Arc<Lists>,
    values: HashMap<String, String>,
}

/// A chain that the receiver of a message and cleanup both use.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Chain>>);

impl Shared {
    /// Shares a chain.
    pub fn new(chain: Chain) -> Self {
        Self(Arc::new(Mutex::new(chain)))
    }

    /// The chain, for the time being.
    pub async fn lock(&self) -> tokio::sync::MutexGuard<'_, Chain> {
        self.0.lock().await
    }
}

impl Filters for Shared {
    fn message<'a>(&'a self, message: &'a mut dyn Filtered) -> Fut<'a, Verdict> {
        Box::pin(async move { self.0.lock().await.message(message).await })
    }
}

impl Chain {
    /// Nothing is connected yet.
    pub fn new(settings: &[Settings], lists: Arc<Lists>) -> Self {
        let all = settings.iter().map(|s| One {
            settings: s.clone(),
            session: Session::new(Default::default()),
            link: None,
            complained: false,
            begun: false,
        });
        let mut chain = Self { all: all.collect(), values: HashMap::new(), lists };
        let (daemon, version) = (chain.lists.daemon_name.clone(), chain.lists.version.clone());
        chain.set("{daemon_name}", Some(daemon));
        chain.set("v", Some(version));
        chain
    }

    /// Gives a macro its value, or takes it away.
    pub fn set(&mut self, name: &str, value: Option<String>) {
        match value {
            Some(value) => {
                self.values.insert(name.to_owned(), value);
            }
            None => {
                self.values.remove(name);
            }
        }
    }

    /// Takes a macro away whose value is empty.
    pub(crate) fn forget_empty(&mut self, name: &str) {
        if self.values.get(name).is_some_and(String::is_empty) {
            self.values.remove(name);
        }
    }

    /// Tells all milters of an event about the connection or the envelope.
    pub async fn tell(&mut self, event: &Event<'_>, warn: Warn<'_>) -> Verdict {
        let mut verdict = Verdict::Continue;
        for i in 0..self.all.len() {
            verdict = self.tell_one(i, event, warn).await;
            if verdict != Verdict::Continue {
                break;
            }
        }
        verdict
    }

    /// A recipient that was refused; only milters that asked for it are told, and their answer has no weight.
    pub async fn tell_refused(&mut self, event: &Event<'_>, warn: Warn<'_>) {
        for i in 0..self.all.len() {
            if self.all.get(i).is_some_and(|m| m.session.wants_rejected()) {
                self.tell_one(i, event, warn).await;
            }
        }
    }

    async fn tell_one(&mut self, i: usize, event: &Event<'_>, warn: Warn<'_>) -> Verdict {
        self.exchange(i, event, &mut Edits::default(), warn).await
    }

    /// What milters have said for good: the answer to commands that they are not told of.
    pub fn standing(&self) -> Verdict {
        let all = self.all.iter().map(|m| m.session.standing());
        all.into_iter().find(|v| *v != Verdict::Continue).unwrap_or_default()
    }

    /// Sends an event to one milter and takes its answer. Edits come at the end of a message.
    pub(crate) async fn exchange(
        &mut self,
        i: usize,
        event: &Event<'_>,
        edits: &mut Edits<'_>,
        warn: Warn<'_>,
    ) -> Verdict {
        let Some(one) = self.all.get_mut(i) else { return Verdict::Continue };
        if !one.begun {
            one.begin(&self.lists, warn).await;
        }
        let next = one.session.next(event);
        let wait = match next {
            Next::Done(verdict) => return verdict,
            Next::Send => false,
            Next::Ask => true,
        };
        let mut packets = Vec::new();
        let names = one.session.agreed().macros(event.macros());
        let names = names.unwrap_or_else(|| self.lists.names(event.macros()));
        let mut macros = Vec::new();
        for name in names {
            let name = crate::settings::bare(name.clone());
            let default = || self.lists.default(&name).map(str::to_owned);
            if let Some(value) = self.values.get(&name).cloned().or_else(default) {
                macros.push((name, value));
            }
        }
        event.write_macros(&macros, &mut packets);
        event.write(&mut packets);
        let limit = one.limit(event);
        if let Err(e) = one.send(&packets, limit).await {
            return one.lost(event, &words(&e), warn);
        }
        if !wait {
            return Verdict::Continue;
        }
        one.answer(event, limit, edits, warn).await
    }

    /// The transaction is over: milters that wait for more are told.
    pub async fn end_message(&mut self) {
        for one in &mut self.all {
            if one.session.end_message() {
                let mut out = Vec::new();
                packet(b'A', &[], &mut out);
                // A milter that is gone says so at the next event.
                let _ = one.send(&out, one.settings.command_timeout).await;
            }
        }
    }

    /// The connection is over.
    pub async fn quit(&mut self) {
        for one in &mut self.all {
            let mut out = Vec::new();
            packet(b'Q', &[], &mut out);
            let _ = one.send(&out, Duration::from_secs(1)).await;
            one.link = None;
        }
    }

    async fn message(&mut self, message: &mut dyn Filtered) -> Verdict {
        message::run(self, message).await
    }
}

impl One {
    /// What was negotiated.
    pub(crate) fn agreed(&self) -> &proto_milter::Agreed {
        self.session.agreed()
    }

    fn limit(&self, event: &Event<'_>) -> Duration {
        if event.is_content() { self.settings.content_timeout } else { self.settings.command_timeout }
    }

    async fn send(&mut self, packets: &[u8], limit: Duration) -> std::io::Result<()> {
        match &mut self.link {
            Some(link) => link.send(packets, limit).await,
            None => Err(std::io::ErrorKind::NotConnected.into()),
        }
    }

    /// What the default action says; with a warning, once, where there is no such action.
    fn default(&mut self, warn: Warn<'_>) -> Verdict {
        let (verdict, warning) = self.settings.default();
        if let Some(text) = warning.filter(|_| !std::mem::replace(&mut self.complained, true)) {
            warn(&text);
        }
        verdict
    }

    /// Connects and negotiates.
    async fn begin(&mut self, lists: &Lists, warn: Warn<'_>) {
        self.begun = true;
        let name = &self.settings.name;
        let (Some(endpoint), Some(offer)) = (self.settings.endpoint.clone(), self.settings.offer()) else {
            match &self.settings.endpoint {
                None => {
                    let kind = name.split(':').next().unwrap_or_default();
                    warn(&format!("invalid transport name: {kind} in Milter service: {name}"));
                }
                Some(_) => {
                    warn(&format!("milter {name}: bad protocol information: {}", self.settings.protocol))
                }
            }
            self.session = Session::unusable(configuration_problem());
            return;
        };
        let limit = self.settings.connect_timeout;
        let link = match Link::open(&endpoint, &lists.queue_directory, limit).await {
            Ok(link) => link,
            Err(e) => {
                warn(&format!("connect to Milter service {name}: {}", words(&e)));
                let default = self.default(warn);
                self.session = Session::unusable(default);
                return;
            }
        };
        self.link = Some(link);
        let mut out = Vec::new();
        offer.write(&mut out);
        let agreed = match self.handshake(&out, limit).await {
            Ok((b'O', data)) => offer.agree(&data).map_err(|e| e.to_string()),
            Ok((letter, _)) => {
                Err(format!("unexpected reply \"{}\" in initial handshake", char::from(letter)))
            }
            Err(e) => Err(format!("can't read SMFIC_OPTNEG reply packet header: {}", words(&e))),
        };
        match agreed {
            Ok(agreed) => self.session = Session::new(agreed),
            Err(reason) => {
                warn(&format!("milter {}: {reason}", self.settings.name));
                self.link = None;
                let default = self.default(warn);
                self.session = Session::unusable(default);
            }
        }
    }

    async fn handshake(&mut self, out: &[u8], limit: Duration) -> std::io::Result<(u8, Vec<u8>)> {
        self.send(out, limit).await?;
        self.receive(limit).await
    }

    async fn receive(&mut self, limit: Duration) -> std::io::Result<(u8, Vec<u8>)> {
        match &mut self.link {
            Some(link) => link.receive(limit).await,
            None => Err(std::io::ErrorKind::NotConnected.into()),
        }
    }

    async fn answer(
        &mut self,
        event: &Event<'_>,
        limit: Duration,
        edits: &mut Edits<'_>,
        warn: Warn<'_>,
    ) -> Verdict {
        loop {
            let (letter, data) = match self.receive(limit).await {
                Ok(packet) => packet,
                Err(e) => return self.lost(event, &words(&e), warn),
            };
            let answer = match parse(letter, &data) {
                Ok(answer) => answer,
                Err(e) => {
                    return self.confused(
                        &format!("{e} \"{}\" to SMFIC_{}", char::from(letter).escape_default(), event.name()),
                        warn,
                    );
                }
            };
            if edits.size > message::MAX_EDITS {
                return self.confused("too many changes asked for", warn);
            }
            match self.session.answer(event, answer, &mut edits.list) {
                Ok(Some(verdict)) => return verdict,
                Ok(None) => {
                    match (edits.list.pop_if(|e| matches!(e, Edit::ReplaceBody(_))), &mut edits.message) {
                        (Some(piece), Some(message)) => message.edit(piece).await,
                        _ => edits.size += data.len() + 1,
                    }
                }
                // A reply that is none is the milter's configuration, not its absence.
                Err(reason) if reason.starts_with("malformed reply") => {
                    warn(&format!("milter {}: {reason}", self.settings.name));
                    return self.session.broken(configuration_problem());
                }
                Err(reason) => return self.confused(&reason, warn),
            }
        }
    }

    /// The connection failed.
    fn lost(&mut self, event: &Event<'_>, why: &str, warn: Warn<'_>) -> Verdict {
        self.confused(&format!("can't read SMFIC_{} reply packet header: {why}", event.name()), warn)
    }

    fn confused(&mut self, reason: &str, warn: Warn<'_>) -> Verdict {
        warn(&format!("milter {}: {reason}", self.settings.name));
        self.link = None;
        let default = self.default(warn);
        self.session.broken(default)
    }
}
