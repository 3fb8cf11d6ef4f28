//! `inet_protocols` (postconf(5)): which address families are used.

use std::net::IpAddr;

/// Address families in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// An `inet_protocols` value that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad inet_protocols value: {0}")]
pub struct BadProtocols(String);

impl Protocols {
    /// Both families.
    pub const ALL: Self = Self { v4: true, v6: true };

    /// Parses `all`, `ipv4`, `ipv6`, or a list. With `all`, IPv6 counts only if the machine has it.
    pub fn parse(text: &str) -> Result<Self, BadProtocols> {
        let mut found = Self { v4: false, v6: false };
        for word in text.split([' ', '\t', '\n', ',']).filter(|w| !w.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "all" => found = Self { v4: true, v6: has_ipv6() },
                "ipv4" => found.v4 = true,
                "ipv6" => found.v6 = true,
                _ => return Err(BadProtocols(word.to_owned())),
            }
        }
        if found.v4 || found.v6 { Ok(found) } else { Err(BadProtocols(text.to_owned())) }
    }

    /// Whether an address may be used.
    pub fn allows(self, ip: IpAddr) -> bool {
        if ip.is_ipv4() { self.v4 } else { self.v6 }
    }
}

fn has_ipv6() -> bool {
    socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (text, want) in [
            ("ipv4", Some((true, false))),
            ("ipv6", Some((false, true))),
            ("ipv4, ipv6", Some((true, true))),
            ("IPv4", Some((true, false))),
            ("", None),
            ("ipv5", None),
        ] {
            assert_eq!(Protocols::parse(text).ok().map(|p| (p.v4, p.v6)), want, "{text}");
        }
        assert!(Protocols::parse("all").is_ok_and(|p| p.v4));
    }
}
