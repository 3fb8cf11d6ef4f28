//! One client at postscreen(8): the access list, the cache, the tests before the greeting, and what comes of them.

use super::{
    Listed, Refused, Screen,
    config::Action,
    dnsbl,
    engine::{Due, End},
    now,
    record::Passed,
    tls::Encrypted,
};
use crate::{connection::TAPE, escape::escaped};
use base_calls::Timestamp;
use base_log::Source;
use base_net::{LineStream, NetError};
use mail_restrict::{Decision, Tape};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How the wait before the greeting ended.
enum Waited {
    Quiet,
    Talked,
    Gone,
}

/// One connection.
pub(super) struct Visit<'a> {
    pub(super) screen: &'a Screen,
    pub(super) stream: &'a mut LineStream,
    client: SocketAddr,
    server: SocketAddr,
    /// `[address]:port`.
    pub(super) from: String,
    source: Source,
    began: Instant,
    /// After STARTTLS.
    pub(super) encrypted: Option<Encrypted>,
    /// The way to the decision, if decisions are kept.
    tape: Option<Tape>,
}

impl<'a> Visit<'a> {
    pub(super) fn begin(
        screen: &'a Screen,
        stream: &'a mut LineStream,
        client: SocketAddr,
        server: SocketAddr,
    ) -> Self {
        let source = screen.deps.log.session_source(Arc::clone(&screen.name));
        let from = format!("[{}]:{}", client.ip(), client.port());
        let tape = screen.deps.decisions.keep_any().then(|| Tape::new(TAPE));
        let (began, encrypted) = (Instant::now(), None);
        let visit = Self { screen, stream, client, server, from, source, began, encrypted, tape };
        visit.log(format!("CONNECT from {} to [{}]:{}", visit.from, server.ip(), server.port()));
        visit
    }

    pub(super) fn log(&self, text: String) {
        if let Some(tape) = &self.tape {
            tape.said(&text);
        }
        self.screen.deps.log.info(&self.source, text);
    }

    pub(super) fn warn(&self, text: &str) {
        self.screen.deps.log.warning(&self.source, text);
    }

    /// Keeps a refusal for `postfix explain`.
    pub(super) fn remember(&self, said: Decision<'_>) {
        let Some(tape) = &self.tape else { return };
        self.screen.deps.decisions.push(&Decision {
            time: Timestamp::now().0,
            service: "postscreen",
            name: "unknown",
            addr: &self.client.ip().to_string(),
            tape: &tape.take(),
            ..said
        });
    }

    /// Seconds since the client connected.
    pub(super) fn took(&self) -> String {
        format!("{:.2}", self.began.elapsed().as_secs_f64())
    }

    pub(super) async fn say(&mut self, text: &str) -> Result<(), NetError> {
        self.stream.send(format!("{text}\r\n").as_bytes()).await
    }

    /// A refusal that ends the connection.
    async fn dismiss(&mut self, reply: &str) {
        self.remember(Decision { stage: "CONNECT", reply, ..Decision::default() });
        let _ = self.say(reply).await;
    }

    pub(super) async fn turn_away(&mut self, why: &str, reply: &str) {
        self.log(format!("NOQUEUE: reject: CONNECT from {}: {why}", self.from));
        self.dismiss(reply).await;
        self.log(format!("DISCONNECT {}", self.from));
    }

    /// `postscreen_post_queue_limit`.
    pub(super) async fn server_busy(&mut self) {
        self.turn_away("all server ports busy", "421 4.3.2 All server ports are busy").await;
    }

    /// `postscreen_pre_queue_limit`.
    async fn busy(&mut self) {
        self.log(format!("reject: connect from {}: all screening ports busy", self.from));
        self.dismiss("421 4.3.2 All screening ports are busy").await;
    }

    /// The client's address and port, and ours.
    pub(super) fn ends(&self) -> (SocketAddr, SocketAddr) {
        (self.client, self.server)
    }

    /// Whether the client passes.
    pub(super) async fn admitted(&mut self) -> bool {
        let from = self.from.clone();
        let mut refused = None;
        match self.screen.listed(self.client.ip()).await {
            Listed::Permit => {
                self.log(format!("ALLOWLISTED {from}"));
                return true;
            }
            Listed::Reject => {
                self.log(format!("DENYLISTED {from}"));
                refused = self.punish(
                    self.screen.config.denylist_action,
                    Refused::new(550, "5.3.2", "Service currently unavailable"),
                );
            }
            Listed::Dunno => {}
        }
        let passes = match refused {
            Some(refused) if refused.drops => {
                self.dismiss(&refused.dropped()).await;
                false
            }
            refused => self.tested(refused).await,
        };
        if !passes {
            self.log(format!("DISCONNECT {from}"));
        }
        passes
    }

    /// What an action makes of a failed test.
    fn punish(&self, action: Action, refused: Refused) -> Option<Refused> {
        match action {
            Action::Ignore => None,
            Action::Enforce => Some(refused),
            Action::Drop => Some(Refused { drops: true, ..refused }),
        }
    }

    async fn tested(&mut self, mut refused: Option<Refused>) -> bool {
        let (config, ip) = (Arc::clone(&self.screen.config), self.client.ip());
        let veto = !self.screen.interfaces.matches_client("", self.server.ip()).await.unwrap_or(true);
        if veto {
            self.log(format!("ALLOWLIST VETO {}", self.from));
        }
        let known = self.screen.cache().get(&ip.to_string()).and_then(|t| Passed::parse(&t));
        let mut passed = known.unwrap_or_default();
        let now = now();
        let greets = !config.banner.is_empty() && !config.greet_wait.0.is_zero() && passed.greet <= now;
        let asks = !config.dnsbl_sites.is_empty() && passed.dnsbl <= now;
        let due = Due {
            pipelining: config.pipelining.enabled && passed.pipelining <= now,
            non_smtp: config.non_smtp.enabled && passed.non_smtp <= now,
            bare_newline: config.bare_newline.enabled && passed.bare_newline <= now,
        };
        let talks = due.pipelining || due.non_smtp || due.bare_newline;
        let word = if known.is_some() { "OLD" } else { "NEW" };
        if !greets && !asks && !talks && refused.is_none() && !veto {
            self.log(format!("PASS OLD {}", self.from));
            return true;
        }
        let screen = self.screen;
        let Some(_place) = screen.test() else {
            self.busy().await;
            return false;
        };
        let Some(early) = self.early(greets, asks, &mut passed, &mut refused).await else { return false };
        if early.allowed && !veto {
            let until = passed.dnsbl;
            for test in
                [&mut passed.greet, &mut passed.pipelining, &mut passed.non_smtp, &mut passed.bare_newline]
            {
                *test = (*test).max(until);
            }
            self.has_passed(&passed);
            self.log(format!("PASS {word} {}", self.from));
            return true;
        }
        if let Some(r) = refused.as_ref().filter(|r| r.drops) {
            self.dismiss(&r.dropped()).await;
            return false;
        }
        if refused.is_none() && !talks && !veto {
            if early.clean {
                self.has_passed(&passed);
                self.log(format!("PASS {word} {}", self.from));
            }
            return true;
        }
        if !early.talked && self.say(&format!("220 {}", config.last_banner)).await.is_err() {
            return false;
        }
        let failed = refused.is_some();
        let later = refused.unwrap_or_else(|| Refused::new(450, "4.3.2", "Service currently unavailable"));
        let end = self.engine(due, later).await;
        if end == End::Clean && !failed && early.clean && !veto {
            let until = |ttl: Duration| now + ttl.as_secs();
            passed.pipelining = until(config.pipelining.ttl);
            passed.non_smtp = until(config.non_smtp.ttl);
            passed.bare_newline = until(config.bare_newline.ttl);
            self.has_passed(&passed);
            self.log(format!("PASS {word} {}", self.from));
        }
        false
    }

    /// The tests before the greeting. `None`: the client is gone.
    async fn early(
        &mut self,
        greets: bool,
        asks: bool,
        passed: &mut Passed,
        refused: &mut Option<Refused>,
    ) -> Option<Early> {
        let config = Arc::clone(&self.screen.config);
        let (ip, now) = (self.client.ip(), now());
        let mut early = Early { clean: true, talked: false, allowed: false };
        let deps = &self.screen.deps;
        let source = deps.log.session_source(Arc::clone(&self.screen.lists_name));
        let score = async {
            let (sites, limit) = (&config.dnsbl_sites, config.dnsbl_timeout);
            if asks {
                dnsbl::score(sites, ip, &deps.resolver, limit, &deps.log, &source).await
            } else {
                dnsbl::Score::default()
            }
        };
        let patience =
            if self.screen.places.is_stressed() { config.greet_wait.1 } else { config.greet_wait.0 };
        let (score, waited) = tokio::join!(score, wait(self.stream, greets, patience, &config.banner));
        match waited {
            Waited::Quiet if greets => passed.greet = now + config.greet_ttl.as_secs(),
            Waited::Quiet => {}
            Waited::Gone => {
                let (took, from) = (self.took(), self.from.clone());
                self.log(format!("HANGUP after {took} from {from} in tests before SMTP handshake"));
                return None;
            }
            Waited::Talked => {
                let bytes = self.stream.buffered();
                let (took, from, count, text) = (self.took(), &self.from, bytes.len(), escaped(bytes));
                self.log(format!("PREGREET {count} after {took} from {from}: {text}"));
                early.clean = false;
                let protocol = self.punish(config.greet_action, Refused::protocol_error());
                early.talked = protocol.is_some();
                *refused = refused.take().or(protocol);
            }
        }
        if asks {
            self.judge(&score, &mut early, passed, refused).await;
        }
        Some(early)
    }

    /// What the DNS lists lead to.
    async fn judge(
        &mut self,
        score: &dnsbl::Score,
        early: &mut Early,
        passed: &mut Passed,
        refused: &mut Option<Refused>,
    ) {
        let (config, ip, now) = (Arc::clone(&self.screen.config), self.client.ip(), now());
        let (least, most) = config.dnsbl_ttl;
        let ttl = score.ttl.map_or(least, |t| Duration::from_secs(t.into())).clamp(least, most.max(least));
        if score.rank < config.dnsbl_threshold {
            passed.dnsbl = now + ttl.as_secs();
            early.allowed = config.dnsbl_allow_threshold < 0 && score.rank <= config.dnsbl_allow_threshold;
            return;
        }
        self.log(format!("DNSBL rank {} for {}", score.rank, self.from));
        early.clean = false;
        let domain = score.domain.clone().unwrap_or_default();
        let shown = self.screen.reply_map.find(&domain).await.ok().flatten().unwrap_or(domain);
        let what = format!("Service unavailable; client [{ip}] blocked using {shown}");
        let blocked = self.punish(config.dnsbl_action, Refused::new(550, "5.7.1", what));
        *refused = refused.take().or(blocked);
    }

    fn has_passed(&self, passed: &Passed) {
        let cache = self.screen.cache();
        cache.put(&self.client.ip().to_string(), &passed.text());
        self.screen.clean(cache, now());
    }
}

/// What came of the tests before the greeting.
struct Early {
    /// Nothing failed.
    clean: bool,
    /// The client is in the middle of a conversation already.
    talked: bool,
    /// DNS lists speak so well of the client that no other test counts.
    allowed: bool,
}

/// The first line of a greeting that is not complete, and the wait for those who cannot wait.
async fn wait(stream: &mut LineStream, greets: bool, patience: Duration, banner: &str) -> Waited {
    if !greets {
        return Waited::Quiet;
    }
    if stream.send(format!("220-{banner}\r\n").as_bytes()).await.is_err() {
        return Waited::Gone;
    }
    match timeout_at(Instant::now() + patience, stream.fill_more()).await {
        Err(_) => Waited::Quiet,
        Ok(Ok(_)) => Waited::Talked,
        Ok(Err(_)) => Waited::Gone,
    }
}
