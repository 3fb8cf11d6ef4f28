//! The next hop as smtp(8) and lmtp(8) read it: `domain`, `domain:port`, `[host]:port`, several of them; for LMTP also
//! `unix:path` and `inet:host:port`.

use super::Dialect;
use base_net::{port_number, split_host_port};
use std::net::IpAddr;

/// One next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NextHop {
    /// Mail exchangers of a domain, or with `use_srv_lookup` the hosts of its service; the service as it was given.
    Domain { domain: String, port: u16, service: Option<String> },
    /// One host, by name or address.
    Host { host: String, port: u16 },
    /// UNIX-domain socket.
    Unix(String),
}

/// A service name that no file knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown service: {0}/tcp")]
pub(crate) struct UnknownPort(pub String);

/// The next hops of a list, with their text.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t', '\r', '\n']).filter(|t| !t.is_empty())
}

impl NextHop {
    /// Reads one.
    pub fn parse(text: &str, dialect: Dialect, dns: bool, default_port: u16) -> Result<Self, UnknownPort> {
        let plain = match dialect {
            Dialect::Lmtp => match text.strip_prefix("unix:") {
                Some(path) => return Ok(Self::Unix(path.to_owned())),
                None => text.strip_prefix("inet:").unwrap_or(text),
            },
            Dialect::Smtp => text,
        };
        let (host, given) = split_host_port(plain).unwrap_or((plain, None));
        let given = given.filter(|p| !p.is_empty());
        let port = match given {
            None => default_port,
            Some(p) => port_number(p).ok_or_else(|| UnknownPort(p.to_owned()))?,
        };
        let (host, service) = (host.to_owned(), given.map(str::to_owned));
        let literal = plain.starts_with('[') || host.parse::<IpAddr>().is_ok();
        if literal || !dns || dialect == Dialect::Lmtp {
            return Ok(Self::Host { host, port });
        }
        Ok(Self::Domain { domain: host, port, service })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let with = |d: &str, port, service: Option<&str>| {
            Ok(NextHop::Domain { domain: d.into(), port, service: service.map(str::to_owned) })
        };
        let domain = |d: &str, port| with(d, port, None);
        let host = |h: &str, port| Ok(NextHop::Host { host: h.into(), port });
        for (text, want) in [
            ("a.test", domain("a.test", 25)),
            ("a.test:2525", with("a.test", 2525, Some("2525"))),
            ("a.test:submission", with("a.test", 587, Some("submission"))),
            ("[a.test]", host("a.test", 25)),
            ("[192.0.2.1]:26", host("192.0.2.1", 26)),
            ("192.0.2.1", host("192.0.2.1", 25)),
            ("[IPv6:2001:db8::1]", host("2001:db8::1", 25)),
            ("a.test:nosuch", Err(UnknownPort("nosuch".into()))),
        ] {
            assert_eq!(NextHop::parse(text, Dialect::Smtp, true, 25), want, "{text}");
        }
        assert_eq!(NextHop::parse("a.test", Dialect::Smtp, false, 25), host("a.test", 25));
        for (text, want) in [
            ("unix:private/lmtp", Ok(NextHop::Unix("private/lmtp".into()))),
            ("inet:a.test:26", host("a.test", 26)),
            ("a.test", host("a.test", 24)),
        ] {
            assert_eq!(NextHop::parse(text, Dialect::Lmtp, true, 24), want, "{text}");
        }
        assert_eq!(split("a, [b]:25 c").collect::<Vec<_>>(), ["a", "[b]:25", "c"]);
    }
}
