//! `socketmap:inet:host:port:name`, `socketmap:unix:path:name`: netstrings to a Sendmail-style server and back
//! (socketmap_table(5)). The server sees whole keys only. Limits: socketmap_max_query_size, socketmap_max_reply_size.

use super::NetType;
use crate::NetOpen;
use crate::link::{Link, TimeLimit};
use crate::place::Place;
use base_tables::remote::{Client, Remote, Settings};
use base_tables::{OpenError, Table, Warn};
use proto_wire::netstring::{self, Fault};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

pub(super) const TYPE: NetType = NetType { name: "socketmap", open };

/// For a request and its reply.
const LIMIT: Duration = Duration::from_secs(100);

struct Server {
    spec: String,
    place: Place,
    /// The name that starts each request.
    name: String,
    max_query: usize,
    max_reply: usize,
    warn: Warn,
}

struct Connection {
    server: Arc<Server>,
    link: Option<Link>,
}

fn open(net: &NetOpen<'_>) -> Result<Arc<dyn Table>, OpenError> {
    let (place, name) = net
        .open
        .name
        .rsplit_once(':')
        .ok_or_else(|| OpenError::new("socketmap requires server:socketmap argument"))?;
    let size = |name: &str, usual: usize| {
        let set = net.config.int(name).map_err(|e| OpenError::new(e.to_string()))?;
        Ok::<usize, OpenError>(usize::try_from(set).ok().filter(|n| *n > 0).unwrap_or(usual))
    };
    let server = Arc::new(Server {
        spec: net.open.spec.to_owned(),
        place: Place::parse(place, net)?,
        name: name.to_owned(),
        max_query: size("socketmap_max_query_size", 10_000)?,
        max_reply: size("socketmap_max_reply_size", 100_000)?,
        warn: net.open.tables.options().warn.clone(),
    });
    let make =
        move || -> Box<dyn Client> { Box::new(Connection { server: Arc::clone(&server), link: None }) };
    let settings = Settings { pattern: true, ..Settings::default() };
    Ok(Arc::new(Remote::open(net.open, settings, Box::new(make))))
}

/// Why a request got no reply.
enum Trouble {
    /// The server hung up.
    Gone,
    /// The connection could not be made, for this reason; it was warned about.
    Unreachable(String),
    /// What the log says, and why.
    Other(&'static str, Option<String>),
}

impl Connection {
    fn exchange(&mut self, request: &[u8], limit: TimeLimit) -> Result<Vec<u8>, Trouble> {
        let server = &self.server;
        let mut link = match self.link.take() {
            Some(link) => link,
            None => server.place.connect("", limit, &server.warn).map_err(Trouble::Unreachable)?,
        };
        link.send(request, limit).map_err(|e| trouble(e.kind()))?;
        loop {
            match netstring::decode(link.received(), server.max_reply) {
                Ok(Some((text, taken))) => {
                    let text = text.to_vec();
                    link.take(taken);
                    self.link = Some(link);
                    return Ok(text);
                }
                Ok(None) => link.fill().map_err(|e| trouble(e.kind()))?,
                Err(Fault::Format) => return Err(Trouble::Other("input format error", None)),
                Err(Fault::TooLong) => return Err(Trouble::Other("input exceeds size limit", None)),
            }
        }
    }
}

fn trouble(kind: ErrorKind) -> Trouble {
    match kind {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => {
            Trouble::Other("time limit exceeded", Some("Connection timed out".to_owned()))
        }
        _ => Trouble::Gone,
    }
}

impl Server {
    fn lookup_error(&self, what: &str) {
        (self.warn)(&format!("table {} lookup error: {what}", self.spec));
    }

    fn understand(&self, reply: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let mut parts = reply.splitn(2, |b| *b == b' ');
        let (status, text) = (parts.next().unwrap_or_default(), parts.next());
        let kind = match (status, text) {
            (b"OK", Some(value)) => return Ok(Some(value.to_vec())),
            (b"OK", None) | (b"NOTFOUND", _) => return Ok(None),
            (b"TEMP", _) => "temporary",
            (b"TIMEOUT", _) => "timeout",
            (b"PERM", _) => "permanent",
            _ => "unknown",
        };
        let text = String::from_utf8_lossy(text.unwrap_or_default()).into_owned();
        let colon = if text.is_empty() { "" } else { ": " };
        (self.warn)(&format!("{} socketmap server {kind} error{colon}{text}", self.spec));
        Err(if kind == "permanent" { String::new() } else { self.place.leftover() })
    }
}

impl Client for Connection {
    fn ask(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let server = Arc::clone(&self.server);
        if server.name.len() + 1 + key.len() > server.max_query {
            (server.warn)(&format!("table {}: query exceeds socketmap_max_query_size", server.spec));
            return Err(String::new());
        }
        let request = netstring::encode(&[server.name.as_bytes(), b" ", key]);
        let limit = TimeLimit::after(LIMIT);
        for _ in 0..2 {
            match self.exchange(&request, limit) {
                Ok(reply) => return server.understand(&reply),
                Err(Trouble::Gone) => (),
                Err(Trouble::Unreachable(reason)) => {
                    server.lookup_error(&reason);
                    return Err(reason);
                }
                Err(Trouble::Other(what, reason)) => {
                    server.lookup_error(what);
                    return Err(reason.unwrap_or_else(|| server.place.leftover()));
                }
            }
        }
        server.lookup_error("unexpected disconnect");
        Err(server.place.leftover())
    }
}
