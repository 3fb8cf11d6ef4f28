//! Where a table's server is: `inet:host:port`, `unix:path`, `host:port`; and connecting to it.
//!
//! What cannot be an address is an error when the table is opened, in Postfix's words; a name is looked up at each
//! connection (getaddrinfo), and every address is tried. Relative socket paths count from queue_directory.

use crate::NetOpen;
use crate::link::{Link, TimeLimit};
use base_net::port_number;
use base_sys::system_text;
use base_tables::{OpenError, Warn};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// A server's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// As Postfix names it in its log: `host:port`, or the path.
    pub name: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Inet { host: String, port: String },
    Unix(PathBuf),
}

impl Place {
    /// `inet:host:port` or `unix:path`.
    pub fn parse(text: &str, open: &NetOpen<'_>) -> Result<Place, OpenError> {
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "inet" => Place::inet(name),
            "unix" => {
                let queue = open.config.str("queue_directory").unwrap_or_default();
                let kind = Kind::Unix(PathBuf::from(queue).join(name));
                Ok(Place { name: name.to_owned(), kind })
            }
            _ => Err(OpenError::new(format!("invalid transport name: {kind} in service: {text}"))),
        }
    }

    /// `host:port`.
    pub fn inet(text: &str) -> Result<Place, OpenError> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
            Some(pair) => pair,
            None => text.rsplit_once(':').unwrap_or(("", text)),
        };
        let bad = |why: &str| OpenError::new(format!("{text}: {why}"));
        let is_number = port.chars().all(|c| c.is_ascii_digit());
        if port.starts_with(|c: char| c.is_ascii_digit()) && !is_number {
            return Err(bad("garbage after numerical service"));
        }
        let is_name = host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        if !is_name && !host.contains("::") && host.parse::<std::net::IpAddr>().is_err() {
            return Err(bad("valid hostname or network address required"));
        }
        let kind = Kind::Inet { host: host.to_owned(), port: port.to_owned() };
        Ok(Place { name: text.to_owned(), kind })
    }

    /// What postmap shows as the reason when the server itself gave none: the number that errno happens to have in Postfix.
    pub fn leftover(&self) -> String {
        match self.kind {
            Kind::Inet { .. } => "Operation now in progress".to_owned(),
            Kind::Unix(_) => "No such file or directory".to_owned(),
        }
    }

    /// Connects. Failure is warned about as `connect to …`, `what` standing before the name; the error is the reason.
    pub fn connect(&self, what: &str, limit: TimeLimit, warn: &Warn) -> Result<Link, String> {
        let connected = match &self.kind {
            Kind::Unix(path) => SockAddr::unix(path).and_then(|to| connect(&to, Domain::UNIX, limit)),
            Kind::Inet { host, port } => match addresses(host, port) {
                Ok(found) => connect_any(&found, limit),
                Err(reason) => {
                    warn(&format!("host or service {} not found: {reason}", self.name));
                    Err(io::ErrorKind::AddrNotAvailable.into())
                }
            },
        };
        connected.map(|socket| Link::new(socket, limit)).map_err(|error| {
            let reason = reason(&error);
            warn(&format!("connect to {what}{}: {reason}", self.name));
            reason
        })
    }
}

/// The system's text for an error, also for those that Rust made itself.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "Connection timed out".to_owned(),
        io::ErrorKind::AddrNotAvailable => "Cannot assign requested address".to_owned(),
        _ => system_text(error),
    }
}

fn addresses(host: &str, port: &str) -> Result<Vec<SocketAddr>, String> {
    let port = port_number(port).ok_or("Servname not supported for ai_socktype")?;
    let host = if host.is_empty() { "localhost" } else { host };
    let found = (host, port).to_socket_addrs().map_err(|error| {
        let text = error.to_string();
        text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
    })?;
    Ok(found.collect())
}

fn connect_any(addresses: &[SocketAddr], limit: TimeLimit) -> io::Result<Socket> {
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match connect(&SockAddr::from(*address), Domain::for_address(*address), limit) {
            Ok(socket) => {
                socket.set_tcp_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect(to: &SockAddr, domain: Domain, limit: TimeLimit) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.connect_timeout(to, limit.left()?)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port() {
        for good in ["127.0.0.1:25", "[::1]:25", "mail.example:smtp", "25", "/mnt/sock"] {
            assert_eq!(Place::inet(good).unwrap().name, good);
        }
        let cases = [
            ("127.0.0.1", "127.0.0.1: garbage after numerical service"),
            ("inet:127.0.0.1:99", "inet:127.0.0.1:99: valid hostname or network address required"),
            ("a b:25", "a b:25: valid hostname or network address required"),
        ];
        for (text, want) in cases {
            assert_eq!(Place::inet(text).unwrap_err().text, want);
        }
    }
}
