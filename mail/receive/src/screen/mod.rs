//! postscreen(8): who may talk to the SMTP server at all.
//!
//! [`Screen::admits`] stands before the session of the same connection: an access list, a cache of those that passed, a greeting that
//! only the patient wait for, DNS lists with weights, and, if asked for, a conversation that ends in "later". A client that passes is
//! served on without another process. A cache or list that does not answer keeps nobody out. postconf(5), POSTSCREEN_README.

mod config;
mod dnsbl;
mod engine;
mod places;
mod record;
mod tls;
mod visit;

pub use config::ScreenConfig;
pub(crate) use places::Served;

use crate::Deps;
use base_cache::Cache;
use base_calls::Timestamp;
use base_net::LineStream;
use base_tables::{Maps, MatchKind, MatchList, Table, Usage};
use places::Places;
use proto_wire::haproxy::Header;
use record::Passed;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};
use visit::Visit;

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
    places: Places,
    tls: Option<crate::tls::Tls>,
    command_filter: Maps,
    footers: Maps,
    discard: Maps,
    name: Arc<str>,
    lists_name: Arc<str>,
    tls_name: Arc<str>,
}

/// A client that may talk to the server behind.
pub(crate) struct Admitted {
    /// As the proxy said, if there is one.
    pub(crate) client: SocketAddr,
    /// The address that it came to.
    pub(crate) server: SocketAddr,
    /// The server's places are all taken now.
    pub(crate) stressed: bool,
    /// Its place at the server.
    pub(crate) place: Served,
}

impl Screen {
    /// Opens lists and tables. `served`: sessions that the server behind may have at once; 0: any number.
    pub fn new(config: ScreenConfig, deps: Deps, served: usize) -> Self {
        let t = &deps.tables;
        let host = |name: &str, text: &str, parents| MatchList::open(t, name, text, MatchKind::Host, parents);
        let access = config.access_list.iter().filter_map(|word| match word.as_str() {
            w if w.eq_ignore_ascii_case("permit_mynetworks") => Some(Access::Mynetworks),
            w if w.contains(':') => Some(Access::Table(t.open(w, Usage::LOOKUP))),
            w => Listed::parse(w).map(Access::Word),
        });
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
            command_filter: Maps::open(t, "postscreen_command_filter", &config.command_filter),
            footers: Maps::open(t, "postscreen_reject_footer_maps", &config.footer_maps),
            discard: Maps::open(t, "postscreen_discard_ehlo_keyword_address_maps", &config.discard_maps),
            places: Places::new(&config, served),
            name: format!("{}/postscreen", config.syslog_name).into(),
            lists_name: format!("{}/dnsblog", config.syslog_name).into(),
            tls_name: format!("{}/tlsproxy", config.syslog_name).into(),
            tls: config.tls.open(&deps, &config.syslog_name),
            config: Arc::new(config),
            cache: OnceLock::new(),
            cleaned: AtomicU64::new(now()),
            deps,
        }
    }

    /// Into the log, about no client.
    fn note(&self, text: String) {
        self.deps.log.info(&self.deps.log.session_source(Arc::clone(&self.name)), text);
    }

    /// The client may talk to the server behind. `None`: it has been told that not, and the connection is over.
    pub(crate) async fn admits(
        &self,
        stream: &mut LineStream,
        mut client: SocketAddr,
        mut server: SocketAddr,
    ) -> Option<Admitted> {
        if let Some(proxy) = self.config.proxy {
            match proxy.header(stream).await {
                Ok(Header::Proxied { client: c, server: s }) => (client, server) = (c, s),
                Ok(_) => {}
                Err(text) => {
                    let source = self.deps.log.session_source(Arc::clone(&self.name));
                    self.deps.log.warning(&source, text);
                    let _ = stream.send(b"421 4.3.2 No system resources\r\n").await;
                    return None;
                }
            }
        }
        let mut visit = Visit::begin(self, stream, client, server);
        let Some(of_client) = self.places.enter(client.ip()) else {
            visit.turn_away("too many connections", "421 4.7.0 Error: too many connections").await;
            return None;
        };
        if self.places.is_server_busy() {
            visit.server_busy().await;
            return None;
        }
        if !visit.admitted().await {
            return None;
        }
        let Some((place, stressed)) = self.server_place().await else {
            visit.server_busy().await;
            return None;
        };
        drop(of_client);
        Some(Admitted { client, server, stressed, place })
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

fn now() -> u64 {
    Timestamp::now().0 / 1_000_000
}
