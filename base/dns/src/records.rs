//! The records that answers consist of, and their text for reply filters.

use crate::wire::Data;
use std::fmt::Write;

/// A mail exchanger. The null MX of RFC 7505 has an empty `host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mx {
    /// Lower is tried first.
    pub preference: u16,
    /// The name, without the final dot.
    pub host: String,
}

/// A host of a service (RFC 2782). A `host` that is empty means that the service is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// Lower is tried first.
    pub priority: u16,
    /// Share of the load among hosts of equal priority.
    pub weight: u16,
    /// Port of the service.
    pub port: u16,
    /// The name, without the final dot.
    pub host: String,
}

/// What a server's certificate must match (RFC 6698 2.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tlsa {
    /// 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE.
    pub usage: u8,
    /// 0 the certificate, 1 its public key.
    pub selector: u8,
    /// 0 the data itself, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// Certificate association data.
    pub data: Vec<u8>,
}

/// The record as a reply filter sees it: `name ttl class type preference value` (postconf(5) `smtp_dns_reply_filter`).
pub fn text(name: &str, ttl: u32, data: &Data) -> String {
    let (kind, value) = match data {
        Data::Address(a) if a.is_ipv4() => ("A", a.to_string()),
        Data::Address(a) => ("AAAA", a.to_string()),
        Data::Mx(mx) => ("MX", format!("{} {}.", mx.preference, mx.host)),
        // PTR and NS records pass no filter by name.
        Data::Name(name) => ("PTR", format!("{name}.")),
        Data::Text(text) => ("TXT", String::from_utf8_lossy(text).into_owned()),
        Data::Srv(s) => ("SRV", format!("{} {} {} {}.", s.priority, s.weight, s.port, s.host)),
        Data::Tlsa(t) => {
            let hex = t.data.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02X}");
                hex
            });
            ("TLSA", format!("{} {} {} {hex}", t.usage, t.selector, t.matching))
        }
    };
    format!("{name}. {ttl} IN {kind} {value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let mx = Data::Mx(Mx { preference: 10, host: "mx.a.test".into() });
        let srv = Data::Srv(Srv { priority: 1, weight: 2, port: 25, host: "h.test".into() });
        let tlsa = Data::Tlsa(Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0xab, 1] });
        for (data, want) in [
            (mx, "a.test. 300 IN MX 10 mx.a.test."),
            (Data::Address([192, 0, 2, 1].into()), "a.test. 300 IN A 192.0.2.1"),
            (srv, "a.test. 300 IN SRV 1 2 25 h.test."),
            (tlsa, "a.test. 300 IN TLSA 3 1 1 AB01"),
            (Data::Text(b"v=spf1 -all".to_vec()), "a.test. 300 IN TXT v=spf1 -all"),
        ] {
            assert_eq!(text("a.test", 300, &data), want);
        }
    }
}
