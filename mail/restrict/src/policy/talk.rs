//! Talking to a policy server: connections are kept and used again, a request is tried more than once.

use super::{
    Server,
    request::{Of, request},
};
use crate::{Facts, Restrict};
use base_net::{ConnectOptions, Endpoint, Excess, LineStream, NetError, os_text};
use proto_wire::policy::Attributes;
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// The longest line of an answer.
const MAX_LINE: usize = 10_000;
/// The most connections that wait for a request.
const MAX_IDLE: usize = 50;

/// A connection that waits.
struct Idle {
    stream: LineStream,
    born: Instant,
    since: Instant,
    requests: u32,
}

/// The connections that wait.
#[derive(Default)]
pub(super) struct Pool {
    idle: Vec<Idle>,
    /// A task closes them in time.
    watched: bool,
}

/// Why a try failed.
enum Failure {
    /// Not connected: the system's words.
    Connect(String),
    Net(NetError),
    /// No answer in what came.
    Malformed,
}

impl Failure {
    /// The other side has gone.
    fn is_closed(&self) -> bool {
        matches!(self, Self::Net(NetError::Closed | NetError::Io(_)))
    }

    fn text(&self) -> String {
        match self {
            Self::Connect(text) => text.clone(),
            Self::Net(NetError::TimedOut) => "Connection timed out".to_owned(),
            Self::Net(NetError::Io(e)) => os_text(e),
            Self::Net(NetError::Closed) | Self::Malformed => "Application error".to_owned(),
        }
    }
}

impl Restrict {
    /// The action of the server, or the default one.
    pub(crate) async fn policy(&self, server: &Server, facts: &Facts<'_>) -> String {
        let began = Instant::now();
        let action = self.tries(server, facts).await;
        let counts = &self.log.metrics().policy;
        counts.requests.observe(began.elapsed());
        action.unwrap_or_else(|| {
            counts.failures.add_one();
            server.default_action().to_owned()
        })
    }

    /// `None`: no answer.
    async fn tries(&self, server: &Server, facts: &Facts<'_>) -> Option<String> {
        let of = Of {
            context: &server.manner.context,
            compatibility_level: &self.config.compatibility_level,
            mail_version: &self.config.mail_version,
        };
        let bytes = request(facts, &of);
        let (mut tries, mut kept) = (1, server.take());
        loop {
            let (failure, reused) = match self.one_try(server, &bytes, facts, kept.take()).await {
                Ok(action) => return Some(action),
                Err(failure) => failure,
            };
            // A server may close a connection that it has not heard of for long, or all when it starts anew: that is no
            // news, and no try. What follows is a connection of its own.
            if reused && failure.is_closed() {
                continue;
            }
            let last = tries >= server.manner.try_limit;
            if last || !reused {
                let text = format!("problem talking to server {}: {}", server.name, failure.text());
                self.log.warning(facts.source, text);
            }
            if last {
                return None;
            }
            tries += 1;
            if !reused {
                tokio::time::sleep(server.manner.retry_delay).await;
            }
        }
    }

    /// `Err`: what went wrong, and whether it was with a connection that had worked before.
    async fn one_try(
        &self,
        server: &Server,
        request: &[u8],
        facts: &Facts<'_>,
        kept: Option<Idle>,
    ) -> Result<String, (Failure, bool)> {
        let (mut connection, reused) = match kept {
            Some(idle) => (idle, true),
            None => match self.connect_policy(server).await {
                Ok(new) => (new, false),
                Err(text) => {
                    self.log.warning(facts.source, format!("connect to {}: {text}", server.name));
                    return Err((Failure::Connect(text), false));
                }
            },
        };
        let answer = match timeout(server.manner.timeout, exchange(&mut connection.stream, request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(Failure::Malformed)) => return Err((self.no_action(server, facts), reused)),
            Ok(Err(failure)) => return Err((failure, reused)),
            Err(_) => return Err((Failure::Net(NetError::TimedOut), reused)),
        };
        let Some(action) = answer.get("action") else {
            return Err((self.no_action(server, facts), reused));
        };
        server.give_back(connection);
        Ok(action.to_owned())
    }

    fn no_action(&self, server: &Server, facts: &Facts<'_>) -> Failure {
        self.log.warning(facts.source, format!("missing attribute action in input from {}", server.name));
        Failure::Malformed
    }

    async fn connect_policy(&self, server: &Server) -> Result<Idle, String> {
        let limit = server.manner.timeout;
        let socket = match &server.endpoint {
            Endpoint::Unix(path) => {
                let path =
                    if path.is_absolute() { path.clone() } else { self.config.queue_directory.join(path) };
                base_net::connect_unix(Path::new(&path), limit).await.map_err(|e| os_text(&e))?
            }
            Endpoint::Inet { host, port } => {
                let mut last = "Name or service not known".to_owned();
                let mut socket = None;
                for ip in self.policy_addresses(host).await {
                    let to = SocketAddr::new(ip, *port);
                    match base_net::connect(to, &ConnectOptions::within(limit)).await {
                        Ok(s) => {
                            socket = Some(s);
                            break;
                        }
                        Err(e) => last = os_text(&e),
                    }
                }
                socket.ok_or(last)?
            }
        };
        let now = Instant::now();
        Ok(Idle { stream: LineStream::of_socket(socket, limit), born: now, since: now, requests: 0 })
    }

    async fn policy_addresses(&self, host: &str) -> Vec<IpAddr> {
        if let Ok(ip) = host.parse() {
            return vec![ip];
        }
        let host = if host.is_empty() { "localhost" } else { host };
        match self.resolver.host(host, true, true, base_dns::Hosts::Native).await {
            Ok(answer) => answer.records,
            Err(_) => Vec::new(),
        }
    }
}

async fn exchange(stream: &mut LineStream, request: &[u8]) -> Result<Attributes, Failure> {
    stream.send(request).await.map_err(Failure::Net)?;
    let mut answer = Attributes::default();
    loop {
        let line = stream.read_line(MAX_LINE, Excess::Skip).await.map_err(Failure::Net)?;
        if answer.line(line.bytes).map_err(|_| Failure::Malformed)? {
            return Ok(answer);
        }
    }
}

impl Server {
    /// A connection that still lives.
    fn take(&self) -> Option<Idle> {
        let now = Instant::now();
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.idle
            .retain(|i| now.duration_since(i.since) < self.manner.max_idle && self.is_young(i.born, now));
        pool.idle.pop()
    }

    fn is_young(&self, born: Instant, now: Instant) -> bool {
        self.manner.max_ttl == Duration::ZERO || now.duration_since(born) < self.manner.max_ttl
    }

    fn give_back(&self, mut connection: Idle) {
        connection.requests = connection.requests.saturating_add(1);
        let limit = self.manner.request_limit;
        if limit > 0 && connection.requests >= limit || connection.stream.has_buffered() {
            return;
        }
        connection.since = Instant::now();
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.idle.len() < MAX_IDLE {
            pool.idle.push(connection);
        }
        if !std::mem::replace(&mut pool.watched, true) {
            tokio::spawn(close_idle(Arc::downgrade(&self.pool), self.manner.max_idle));
        }
    }
}

/// Closes what nobody has wanted for so long, while there is something to close.
async fn close_idle(pool: Weak<Mutex<Pool>>, max_idle: Duration) {
    loop {
        tokio::time::sleep(max_idle.max(Duration::from_secs(1))).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.idle.retain(|i| i.since.elapsed() < max_idle);
        if pool.idle.is_empty() {
            pool.watched = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Manner;
    use super::*;
    use tokio::io::{AsyncReadExt, DuplexStream};

    fn server(text: &str) -> Server {
        let defaults = Manner::from_config(&base_conf::Config::from_text("")).expect("defaults");
        Server::parse(text, &defaults).expect("server")
    }

    fn connection() -> (Idle, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(100);
        let now = Instant::now();
        let stream = LineStream::new(Box::new(ours) as _, Duration::from_secs(5));
        (Idle { stream, born: now, since: now, requests: 0 }, theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_are_closed_without_a_next_request() {
        let server = server("{ inet:127.0.0.1:1, max_idle=10s }");
        let (kept, mut theirs) = connection();
        server.give_back(kept);
        let start = Instant::now();
        assert_eq!(theirs.read(&mut [0; 10]).await.expect("end"), 0);
        assert!(start.elapsed() <= Duration::from_secs(21), "{:?}", start.elapsed());
        assert!(server.take().is_none());
    }
}
