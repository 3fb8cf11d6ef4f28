//! Questions and answers as DNS messages.

use crate::DnsError;
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use std::net::IpAddr;

/// Records of an answer that are used.
pub(crate) const MAX_RECORDS: usize = 100;
/// Aliases followed within one answer.
const MAX_ALIASES: usize = 8;
/// What a UDP answer may hold (no fragments: DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;
/// Longest time that anything is cached.
const MAX_TTL: u32 = 86_400;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// Lower case, without final dot.
    pub name: String,
    pub kind: RecordType,
}

/// What came back, in a form that can be cached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub records: Vec<RData>,
    pub name: String,
    pub authentic: bool,
    pub ttl: u32,
}

/// A message that is cached: records, or the knowledge that there are none.
pub(crate) type Outcome = Result<Found, DnsError>;

impl Question {
    /// A question; `Invalid` when the name cannot stand in one.
    pub fn new(name: &str, kind: RecordType) -> Result<Self, DnsError> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        to_name(&name)?;
        Ok(Self { name, kind })
    }

    /// The query message.
    pub fn message(&self, id: u16, dnssec: bool) -> Result<Vec<u8>, DnsError> {
        let mut m = Message::new(id, MessageType::Query, OpCode::Query);
        m.metadata.recursion_desired = true;
        m.metadata.authentic_data = dnssec;
        m.add_query(Query::query(to_name(&self.name)?, self.kind));
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD).set_dnssec_ok(dnssec);
        m.set_edns(edns);
        m.to_vec().map_err(|e| DnsError::Invalid(e.to_string()))
    }

    /// Whether `reply` answers this question.
    pub fn is_answered_by(&self, reply: &Message, id: u16) -> bool {
        let asked =
            |q: &Query| q.query_type() == self.kind && from_name(q.name()).eq_ignore_ascii_case(&self.name);
        reply.metadata.id == id
            && reply.metadata.message_type == MessageType::Response
            && reply.queries.first().is_some_and(asked)
    }
}

fn to_name(name: &str) -> Result<Name, DnsError> {
    let bad = || DnsError::Invalid(format!("malformed name {name:?}"));
    let labels: Vec<&[u8]> =
        if name.is_empty() { Vec::new() } else { name.split('.').map(str::as_bytes).collect() };
    if labels.iter().any(|l| l.is_empty() || l.len() > 63) || name.len() > 253 {
        return Err(bad());
    }
    let mut name = Name::from_labels(labels).map_err(|_| bad())?;
    name.set_fqdn(true);
    Ok(name)
}

/// A name as text, without the final dot. Bytes that are no text show as U+FFFD, so such a name matches nothing.
pub(crate) fn from_name(name: &Name) -> String {
    let labels: Vec<_> = name.iter().map(|l| String::from_utf8_lossy(l).into_owned()).collect();
    labels.join(".")
}

/// Reads an answer: follows aliases, keeps the records of the kind asked for.
pub(crate) fn read(question: &Question, reply: &Message) -> (Outcome, u32) {
    match reply.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return (Err(DnsError::NotFound), negative_ttl(reply)),
        ResponseCode::ServFail => return (Err(DnsError::TempFail("SERVFAIL".into())), 0),
        other => return (Err(DnsError::Refused(other.to_string())), 0),
    }
    let mut name = question.name.clone();
    let mut ttl = MAX_TTL;
    for _ in 0..=MAX_ALIASES {
        let mut records = Vec::new();
        let mut alias = None;
        for r in reply.answers.iter().filter(|r| from_name(&r.name).eq_ignore_ascii_case(&name)) {
            if r.record_type() == question.kind && records.len() < MAX_RECORDS {
                ttl = ttl.min(r.ttl);
                records.push(r.data.clone());
            } else if let RData::CNAME(to) = &r.data {
                ttl = ttl.min(r.ttl);
                alias = Some(from_name(&to.0));
            }
        }
        if !records.is_empty() {
            return (Ok(Found { records, name, authentic: reply.metadata.authentic_data, ttl }), ttl);
        }
        match alias {
            Some(to) if !to.eq_ignore_ascii_case(&name) => name = to,
            Some(_) => return (Err(DnsError::Invalid("an alias of itself".into())), 0),
            None => return (Err(DnsError::NoData), negative_ttl(reply)),
        }
    }
    (Err(DnsError::Invalid("too many aliases".into())), 0)
}

/// RFC 2308 5: the smaller of the SOA's TTL and its minimum.
fn negative_ttl(reply: &Message) -> u32 {
    let soa = reply.authorities.iter().find_map(|r| match &r.data {
        RData::SOA(soa) => Some(r.ttl.min(soa.minimum)),
        _ => None,
    });
    soa.unwrap_or(0).min(3600)
}

/// `1.2.0.192.in-addr.arpa`
pub(crate) fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(a) => {
            let [a, b, c, d] = a.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(a) => {
            let nibbles = a.octets().into_iter().rev().flat_map(|o| [o & 15, o >> 4]);
            let mut name: String = nibbles.map(|n| format!("{n:x}.")).collect();
            name.push_str("ip6.arpa");
            name
        }
    }
}
