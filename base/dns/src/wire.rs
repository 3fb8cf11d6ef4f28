//! Questions and replies as bytes; the records of a reply, along the chain of aliases.

use crate::DnsError;
use crate::records::{Mx, Srv, Tlsa};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use std::net::IpAddr;

/// The most records of an answer.
pub const MAX_RECORDS: usize = 100;
/// The most aliases in a chain.
const MAX_ALIASES: usize = 16;
/// The size of UDP replies that need no fragments.
const UDP_SIZE: u16 = 1232;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    A,
    Aaaa,
    Mx,
    Ns,
    Ptr,
    Srv,
    Tlsa,
    Txt,
}

impl Kind {
    fn record_type(self) -> RecordType {
        match self {
            Kind::A => RecordType::A,
            Kind::Aaaa => RecordType::AAAA,
            Kind::Mx => RecordType::MX,
            Kind::Ns => RecordType::NS,
            Kind::Ptr => RecordType::PTR,
            Kind::Srv => RecordType::SRV,
            Kind::Tlsa => RecordType::TLSA,
            Kind::Txt => RecordType::TXT,
        }
    }
}

/// A record, reduced to what is of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// An address.
    Address(IpAddr),
    /// A mail exchanger.
    Mx(Mx),
    /// A name (NS, PTR).
    Name(String),
    /// Text, its strings joined.
    Text(Vec<u8>),
    /// A service's host.
    Srv(Srv),
    /// A certificate's digest.
    Tlsa(Tlsa),
}

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The records of the kind asked for.
    pub data: Vec<Data>,
    /// The name at the end of the chain.
    pub name: String,
    /// The AD bit.
    pub authentic: bool,
    /// Seconds to keep it.
    pub ttl: u32,
}

/// A reply taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Records.
    Found(Found),
    /// The name or the record does not exist; the seconds to keep that.
    Absent(DnsError, u32),
    /// An alias whose target the reply says nothing about; the chain's TTL and AD bit.
    Alias(String, u32, bool),
    /// The server cannot or will not: ask another.
    Trouble(String),
    /// The server does not understand: ask again without EDNS.
    NotUnderstood,
    /// Does not fit: ask by TCP.
    Truncated,
}

/// The name in wire form. Non-ASCII labels are converted (IDNA); names that cannot exist are `NotFound`.
pub fn encode_name(name: &str) -> Result<Name, DnsError> {
    let ascii = match name.is_ascii() {
        true => name.to_ascii_lowercase(),
        false => idna::domain_to_ascii(name).map_err(|_| DnsError::NotFound)?,
    };
    let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
    let bad = ascii.len() > 253 || ascii.split('.').any(|label| label.is_empty() || label.len() > 63);
    if bad {
        return Err(DnsError::NotFound);
    }
    let mut name = Name::from_labels(ascii.split('.').map(str::as_bytes)).map_err(|_| DnsError::NotFound)?;
    name.set_fqdn(true);
    Ok(name)
}

fn text_of(name: &Name) -> String {
    let text = name.to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

/// The bytes of a question.
pub fn question(id: u16, name: &Name, kind: Kind, dnssec: bool, edns: bool) -> Result<Vec<u8>, DnsError> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.authentic_data = dnssec;
    message.add_query(Query::query(name.clone(), kind.record_type()));
    if edns {
        let mut opt = Edns::new();
        opt.set_max_payload(UDP_SIZE).set_version(0).set_dnssec_ok(dnssec);
        message.set_edns(opt);
    }
    message.to_vec().map_err(|e| DnsError::Invalid(e.to_string()))
}

/// Takes a reply apart; `None` when it is not the reply to this question (it is then ignored).
pub fn reply(bytes: &[u8], id: u16, name: &Name, kind: Kind) -> Option<Reply> {
    let message = Message::from_vec(bytes).ok();
    let Some(message) = message else {
        // Not readable, but the header fits: the server is broken, or the reply was cut off.
        let ours = bytes.get(..2)? == id.to_be_bytes() && bytes.get(2)? & 0x80 != 0;
        let cut = bytes.get(2)? & 0x02 != 0;
        return ours
            .then(|| if cut { Reply::Truncated } else { Reply::Trouble("malformed reply".to_owned()) });
    };
    let head = &message.metadata;
    if head.id != id || head.message_type != MessageType::Response {
        return None;
    }
    let echoed = message.queries.first().is_none_or(|q| {
        q.query_type() == kind.record_type() && q.query_class() == DNSClass::IN && same(q.name(), name)
    });
    if !echoed {
        return None;
    }
    if head.truncation {
        return Some(Reply::Truncated);
    }
    Some(match head.response_code {
        ResponseCode::NoError => answers(&message, name, kind, false),
        ResponseCode::NXDomain => answers(&message, name, kind, true),
        ResponseCode::FormErr | ResponseCode::BADVERS => Reply::NotUnderstood,
        code => Reply::Trouble(code.to_string()),
    })
}

fn same(a: &Name, b: &Name) -> bool {
    a.to_lowercase().to_ascii().trim_end_matches('.') == b.to_lowercase().to_ascii().trim_end_matches('.')
}

fn answers(message: &Message, name: &Name, kind: Kind, nxdomain: bool) -> Reply {
    let mut current = name.clone();
    let mut ttl = u32::MAX;
    let authentic = message.metadata.authentic_data;
    for hop in 0..=MAX_ALIASES {
        let here = |r: &&Record| r.dns_class == DNSClass::IN && same(&r.name, &current);
        let records: Vec<&Record> =
            message.answers.iter().filter(here).filter(|r| r.record_type() == kind.record_type()).collect();
        if !records.is_empty() {
            ttl = records.iter().map(|r| r.ttl).fold(ttl, u32::min);
            let data = records.into_iter().filter_map(|r| data_of(&r.data)).take(MAX_RECORDS).collect();
            return Reply::Found(Found { data, name: text_of(&current), authentic, ttl });
        }
        let alias = message.answers.iter().filter(here).find_map(|r| match &r.data {
            RData::CNAME(target) => Some((target.0.clone(), r.ttl)),
            _ => None,
        });
        match alias {
            Some((target, life)) => {
                current = target;
                ttl = ttl.min(life);
            }
            None if nxdomain => return Reply::Absent(DnsError::NotFound, negative_ttl(message).min(ttl)),
            // An alias was followed out of this reply, without word from the zone of the target.
            None if hop > 0 && negative_ttl(message) == 0 => {
                return Reply::Alias(text_of(&current), ttl, authentic);
            }
            None => return Reply::Absent(DnsError::NoData, negative_ttl(message).min(ttl)),
        }
    }
    Reply::Absent(DnsError::Invalid("too many aliases".to_owned()), 0)
}

/// RFC 2308: the lesser of the SOA record's TTL and its minimum field; 0 without one.
fn negative_ttl(message: &Message) -> u32 {
    let soa = message.authorities.iter().find_map(|r| match &r.data {
        RData::SOA(soa) => Some(r.ttl.min(soa.minimum)),
        _ => None,
    });
    soa.unwrap_or(0)
}

fn data_of(data: &RData) -> Option<Data> {
    Some(match data {
        RData::A(a) => Data::Address(a.0.into()),
        RData::AAAA(a) => Data::Address(a.0.into()),
        RData::MX(mx) => Data::Mx(Mx { preference: mx.preference, host: text_of(&mx.exchange) }),
        RData::NS(name) => Data::Name(text_of(&name.0)),
        RData::PTR(name) => Data::Name(text_of(&name.0)),
        RData::TXT(txt) => Data::Text(txt.txt_data.concat()),
        RData::SRV(srv) => Data::Srv(Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            host: text_of(&srv.target),
        }),
        RData::TLSA(tlsa) => Data::Tlsa(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        }),
        _ => return None,
    })
}

/// The name under which an address has its PTR records.
pub fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(a) => {
            let [a, b, c, d] = a.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(a) => {
            let nibbles = a.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            let text: String = nibbles.map(|n| format!("{n:x}.")).collect();
            format!("{text}ip6.arpa")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(text_of(&encode_name("Example.COM.").unwrap()), "example.com");
        assert_eq!(text_of(&encode_name("_25._tcp.example.com").unwrap()), "_25._tcp.example.com");
        assert_eq!(text_of(&encode_name("日本語.example").unwrap()), "xn--wgv71a119e.example");
        for bad in ["", ".", "a..b", &"x".repeat(64), &"a.".repeat(130)] {
            assert_eq!(encode_name(bad), Err(DnsError::NotFound), "{bad:?}");
        }
    }

    #[test]
    fn reverse() {
        assert_eq!(reverse_name("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa");
        assert_eq!(
            reverse_name("2001:db8::1".parse().unwrap()),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }

    proptest::proptest! {
        #[test]
        fn replies_never_panic(bytes: Vec<u8>) {
            let name = encode_name("example.com").unwrap();
            let _ = reply(&bytes, 0, &name, Kind::Mx);
        }
    }
}
