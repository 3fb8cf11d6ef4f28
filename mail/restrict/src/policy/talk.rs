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
    sync::PoisonError,
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// The longest line of an answer.
const MAX_LINE: usize = 10_000;
/// The most connections that wait for a request.
const MAX_IDLE: usize = 50;

/// A connection that waits.
pub(super) struct Idle {
    stream: LineStream,
    born: Instant,
    since: Instant,
    requests: u32,
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
        let of = Of {
            context: &server.manner.context,
            compatibility_level: &self.config.compatibility_level,
            mail_version: &self.config.mail_version,
        };
        let bytes = request(facts, &of);
        let mut tries = 1;
        loop {
            let (failure, reused) = match self.one_try(server, &bytes, facts).await {
                Ok(action) => return action,
                Err(failure) => failure,
            };
            let last = tries >= server.manner.try_limit;
            // A server may close a connection that it has not heard of for long: that is no news.
            if last || !reused {
                let text = format!("problem talking to server {}: {}", server.name, failure.text());
                self.log.warning(facts.source, text);
            }
            if last {
                return server.default_action().to_owned();
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
    ) -> Result<String, (Failure, bool)> {
        let (mut connection, reused) = match server.take() {
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
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|i| now.duration_since(i.since) < self.manner.max_idle && self.is_young(i.born, now));
        idle.pop()
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
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }
}
