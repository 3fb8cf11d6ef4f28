//! Endpoint names as main.cf and tables write them: `inet:host:port`, `host:port`, `[2001:db8::1]:port`,
//! `unix:path`, `port` (postconf(5) smtpd_milters, lmtp(8), SMTPD_POLICY_README).

use crate::port_number;
use std::{fmt, path::PathBuf};

/// A place to connect to or to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Host (a name or address without brackets; empty for "all interfaces" or the local host) and port.
    Inet {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Path of a UNIX-domain socket, relative ones below the queue directory.
    Unix(PathBuf),
}

/// Text that names no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    /// No port where one is needed.
    #[error("missing port in \"{0}\"")]
    NoPort(String),
    /// A port that is neither a number nor a service name.
    #[error("unknown port or service \"{0}\"")]
    UnknownService(String),
    /// Brackets that do not match, or an empty part.
    #[error("malformed endpoint \"{0}\"")]
    Malformed(String),
}

impl Endpoint {
    /// Parses an endpoint. `default_port` is used where the text has none.
    pub fn parse(text: &str, default_port: Option<&str>) -> Result<Self, BadEndpoint> {
        if let Some(path) = text.strip_prefix("unix:").or_else(|| text.strip_prefix("local:")) {
            return if path.is_empty() {
                Err(BadEndpoint::Malformed(text.into()))
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let plain = text.strip_prefix("inet:").unwrap_or(text);
        let (host, port) = split_host_port(plain).ok_or_else(|| BadEndpoint::Malformed(text.into()))?;
        let (host, port) = match (port, default_port) {
            (Some(p), _) => (host, p),
            (None, Some(p)) => (host, p),
            (None, None) => ("", host),
        };
        if port.is_empty() {
            return Err(BadEndpoint::NoPort(text.into()));
        }
        let port = port_number(port).ok_or_else(|| BadEndpoint::UnknownService(port.into()))?;
        Ok(Self::Inet { host: host.to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet { host, port } if host.contains(':') => write!(f, "inet:[{host}]:{port}"),
            Self::Inet { host, port } => write!(f, "inet:{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Splits `host`, `host:port`, `[host]` or `[host]:port`; the brackets, and an `ipv6:` inside them, are dropped. A
/// host with two colons and no brackets is an IPv6 address without port. `None` when brackets do not match.
pub fn split_host_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        let host = match host.get(..5) {
            Some(p) if p.eq_ignore_ascii_case("ipv6:") => host.get(5..).unwrap_or_default(),
            _ => host,
        };
        return match after {
            "" => Some((host, None)),
            _ => after.strip_prefix(':').map(|port| (host, Some(port))),
        };
    }
    match text.split_once(':') {
        None => Some((text, None)),
        Some((_, port)) if port.contains(':') => Some((text, None)),
        Some((host, port)) => Some((host, Some(port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let inet = |h: &str, port| Some(Endpoint::Inet { host: h.into(), port });
        for (text, default, want) in [
            ("inet:127.0.0.1:8891", None, inet("127.0.0.1", 8891)),
            ("localhost:smtp", None, inet("localhost", 25)),
            ("[::1]:25", None, inet("::1", 25)),
            ("[IPv6:2001:db8::1]:25", None, inet("2001:db8::1", 25)),
            ("2001:db8::1", Some("24"), inet("2001:db8::1", 24)),
            ("host", Some("24"), inet("host", 24)),
            ("inet:8891", None, inet("", 8891)),
            ("[host]", Some("25"), inet("host", 25)),
            ("unix:private/auth", None, Some(Endpoint::Unix("private/auth".into()))),
            ("unix:", None, None),
            ("host:", None, None),
            ("[host", Some("25"), None),
            ("[host]25", Some("25"), None),
            ("host:nosuchservice", None, None),
            ("host", None, None),
        ] {
            assert_eq!(Endpoint::parse(text, default).ok(), want, "{text}");
        }
    }

    #[test]
    fn print_and_parse() {
        for text in ["inet:[::1]:25", "inet:h:1", "unix:/run/x"] {
            assert_eq!(Endpoint::parse(text, None).map(|e| e.to_string()), Ok(text.to_owned()));
        }
    }
}
