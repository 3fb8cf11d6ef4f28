//! postscreen(8): who may talk to the SMTP server at all.
//!
//! [`Screen::admits`] stands before the session of the same connection: an access list, a cache of those that passed, a greeting that
//! only the patient wait for, DNS lists with weights, and, if asked for, a conversation that ends in "later". A client that passes is
//! served on without another process. A cache or list that does not answer keeps nobody out. postconf(5), POSTSCREEN_README.

mod config;
mod dnsbl;
mod engine;
mod record;

pub use config::ScreenConfig;

use crate::{Deps, escape::escaped};
use base_cache::Cache;
use base_calls::Timestamp;
use base_log::{Log, Source};
use base_net::{LineStream, NetError};
use base_tables::{Maps, MatchKind, MatchList, Table, Usage};
use config::Action;
use engine::{Due, End};
use record::Passed;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

/// One element of `postscreen_access_list`.
enum Access {
    Mynetworks,
    Table(Arc<dyn Table>),
    /// `permit`, `reject`, `dunno`.
    Word(Listed),
}

/// What the access list says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    Permit,
    Reject,
    Dunno,
}

impl Listed {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.trim().to_ascii_lowercase().as_str() {
            "permit" => Self::Permit,
            "reject" => Self::Reject,
            "dunno" => Self::Dunno,
            _ => return None,
        })
    }
}

/// The service. Shared by its connections.
pub struct Screen {
    config: Arc<ScreenConfig>,
    access: Vec<Access>,
    mynetworks: MatchList,
    interfaces: MatchList,
    forbidden: MatchList,
    reply_map: Maps,
    deps: Deps,
    cache: OnceLock<Arc<Cache>>,
    cleaned: AtomicU64,
    /// Connections, by client.
    open: Mutex<HashMap<IpAddr, u32>>,
    /// A place for each connection that is tested; `None`: for any number.
    tests: Option<Semaphore>,
    name: Arc<str>,
    lists_name: Arc<str>,
}

impl Screen {
    /// Opens lists and tables.
    pub fn new(config: ScreenConfig, deps: Deps) -> Self {
        let t = &deps.tables;
        let host = |name: &str, text: &str, parents| MatchList::open(t, name, text, MatchKind::Host, parents);
        let access = config.access_list.iter().filter_map(|word| match word.as_str() {
            w if w.eq_ignore_ascii_case("permit_mynetworks") => Some(Access::Mynetworks),
            w if w.contains(':') => Some(Access::Table(t.open(w, Usage::LOOKUP))),
            w => Listed::parse(w).map(Access::Word),
        });
        let places = usize::try_from(config.pre_queue_limit).unwrap_or(Semaphore::MAX_PERMITS);
        let tests = (places > 0).then(|| Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self {
            access: access.collect(),
            mynetworks: host("mynetworks", &config.mynetworks, config.parent_mynetworks),
            interfaces: host("postscreen_allowlist_interfaces", &config.allowlist_interfaces, false),
            forbidden: MatchList::open(
                t,
                "postscreen_forbidden_commands",
                &config.forbidden_commands,
                MatchKind::String,
                false,
            ),
            reply_map: Maps::open(t, "postscreen_dnsbl_reply_map", &config.dnsbl_reply_map),
            name: format!("{}/postscreen", config.syslog_name).into(),
            lists_name: format!("{}/dnsblog", config.syslog_name).into(),
            config: Arc::new(config),
            cache: OnceLock::new(),
            cleaned: AtomicU64::new(now()),
            open: Mutex::default(),
            tests,
            deps,
        }
    }

    /// Whether the client may talk to the server behind; when not, it has been told, and the connection is over.
    pub(crate) async fn admits(
        &self,
        stream: &mut LineStream,
        client: SocketAddr,
        server: SocketAddr,
    ) -> bool {
        let source = self.deps.log.session_source(Arc::clone(&self.name));
        let from = format!("[{}]:{}", client.ip(), client.port());
        let mut visit = Visit { screen: self, stream, client, server, from, source, began: Instant::now() };
        let Some(_place) = self.enter(client.ip()) else {
            visit.too_many().await;
            return false;
        };
        visit.admitted().await
    }

    fn cache(&self) -> &Cache {
        self.cache.get_or_init(|| self.deps.caches.open(&self.config.cache_map))
    }

    /// Now and then, forgets those who have not been here for long.
    fn clean(&self, cache: &Cache, now: u64) {
        let (every, keep) = (self.config.cleanup_interval.as_secs(), self.config.retention.as_secs());
        let last = self.cleaned.load(Ordering::Relaxed);
        if every == 0 || now.saturating_sub(last) < every {
            return;
        }
        self.cleaned.store(now, Ordering::Relaxed);
        cache.retain(|key, value| {
            key.starts_with('_') || Passed::parse(value).is_some_and(|p| p.last().saturating_add(keep) > now)
        });
    }

    /// Counts the client in; `None` when it has too many connections already.
    fn enter(&self, ip: IpAddr) -> Option<Place<'_>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(ip).or_default();
        if self.config.connection_limit > 0 && *count >= self.config.connection_limit {
            return None;
        }
        *count += 1;
        Some(Place { screen: self, ip })
    }

    async fn listed(&self, ip: IpAddr) -> Listed {
        for access in &self.access {
            let says = match access {
                Access::Word(listed) => Some(*listed),
                Access::Mynetworks => {
                    let near = self.mynetworks.matches_client("", ip).await.unwrap_or(false);
                    near.then_some(Listed::Permit)
                }
                Access::Table(table) => match table.lookup(ip.to_string().as_bytes()).await {
                    Ok(Some(value)) => Listed::parse(&String::from_utf8_lossy(&value)),
                    Ok(None) | Err(_) => None,
                },
            };
            if let Some(listed) = says {
                return listed;
            }
        }
        Listed::Dunno
    }
}

/// Counts a client out.
struct Place<'a> {
    screen: &'a Screen,
    ip: IpAddr,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut open = self.screen.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.ip) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.ip);
            }
        }
    }
}

/// What a client hears that did not pass.
#[derive(Debug, Clone)]
struct Refused {
    code: u16,
    status: &'static str,
    what: String,
    /// At once, and the connection ends.
    drops: bool,
}

impl Refused {
    fn new(code: u16, status: &'static str, what: impl Into<String>) -> Self {
        Self { code, status, what: what.into(), drops: false }
    }

    fn protocol_error() -> Self {
        Self::new(550, "5.5.1", "Protocol error")
    }

    fn text(&self) -> String {
        format!("{} {} {}", self.code, self.status, self.what)
    }

    /// With the code that closes a connection.
    fn dropped(&self) -> String {
        format!("521 {} {}", self.status, self.what)
    }
}

/// How the wait before the greeting ended.
enum Waited {
    Quiet,
    Talked,
    Gone,
}

/// One connection.
struct Visit<'a> {
    screen: &'a Screen,
    stream: &'a mut LineStream,
    client: SocketAddr,
    server: SocketAddr,
    from: String,
    source: Source,
    began: Instant,
}

fn now() -> u64 {
    Timestamp::now().0 / 1_000_000
}

impl Visit<'_> {
    fn logger(&self) -> &Log {
        &self.screen.deps.log
    }

    fn log(&self, text: String) {
        self.logger().info(&self.source, text);
    }

    /// Seconds since the client connected.
    fn took(&self) -> String {
        format!("{:.2}", self.began.elapsed().as_secs_f64())
    }

    async fn say(&mut self, text: &str) -> Result<(), NetError> {
        self.stream.send(format!("{text}\r\n").as_bytes()).await
    }

    async fn too_many(&mut self) {
        self.log(format!("CONNECT from {} to [{}]:{}", self.from, self.server.ip(), self.server.port()));
        self.log(format!("NOQUEUE: reject: CONNECT from {}: too many connections", self.from));
        let _ = self.say("421 4.7.0 Error: too many connections").await;
        self.log(format!("DISCONNECT {}", self.from));
    }

    /// `postscreen_pre_queue_limit`.
    async fn busy(&mut self) {
        self.log(format!("reject: connect from {}: all screening ports busy", self.from));
        let _ = self.say("421 4.3.2 All screening ports are busy").await;
    }

    async fn admitted(&mut self) -> bool {
        let from = self.from.clone();
        self.log(format!("CONNECT from {from} to [{}]:{}", self.server.ip(), self.server.port()));
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
                let _ = self.say(&refused.dropped()).await;
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
        let greets = !config.greet_wait.is_zero() && passed.greet <= now;
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
        let Ok(_place) = screen.tests.as_ref().map(Semaphore::try_acquire).transpose() else {
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
            self.remember(&passed);
            self.log(format!("PASS {word} {}", self.from));
            return true;
        }
        if let Some(r) = refused.as_ref().filter(|r| r.drops) {
            let _ = self.say(&r.dropped()).await;
            return false;
        }
        if refused.is_none() && !talks && !veto {
            if early.clean {
                self.remember(&passed);
                self.log(format!("PASS {word} {}", self.from));
            }
            return true;
        }
        if !early.talked && self.say(&format!("220 {}", config.banner)).await.is_err() {
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
            self.remember(&passed);
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
        let (score, waited) = tokio::join!(score, wait(self.stream, greets, &config));
        match waited {
            Waited::Quiet => passed.greet = now + config.greet_ttl.as_secs(),
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

    fn remember(&self, passed: &Passed) {
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
async fn wait(stream: &mut LineStream, greets: bool, config: &ScreenConfig) -> Waited {
    if !greets {
        return Waited::Quiet;
    }
    if !config.banner.is_empty()
        && stream.send(format!("220-{}\r\n", config.banner).as_bytes()).await.is_err()
    {
        return Waited::Gone;
    }
    match timeout_at(Instant::now() + config.greet_wait, stream.fill_more()).await {
        Err(_) => Waited::Quiet,
        Ok(Ok(_)) => Waited::Talked,
        Ok(Err(_)) => Waited::Gone,
    }
}
