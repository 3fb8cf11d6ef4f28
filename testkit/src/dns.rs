//! A name server on 127.0.0.1:53 of the namespace, from lines `NAME TYPE DATA`.
//!
//! `IP PTR NAME` makes a reverse record; data `!SERVFAIL` and `!REFUSED` fail, `!TIMEOUT` is never answered, `!SLOW DATA` is answered
//! after 100 ms; `!AD DATA` is vouched for (the AD bit of an answer, when it is asked for and all of it is). A name that no line has is NXDOMAIN, unless there are names below it.

use anyhow::{Context, Result};
use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{
        Name, RData, Record,
        rdata::{
            A, AAAA, CNAME, MX, NS, PTR, TLSA, TXT,
            tlsa::{CertUsage, Matching, Selector},
        },
    },
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    str::FromStr,
    thread,
    time::Duration,
};

/// A line, parsed.
#[derive(Clone)]
struct Entry {
    name: String,
    kind: String,
    data: Result<RData, Trouble>,
    slow: bool,
    vouched: bool,
}

/// How a question fails.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    ServFail,
    Refused,
    Timeout,
}

/// How long a slow answer takes.
const SLOW: Duration = Duration::from_millis(100);

/// Starts the server.
pub fn start(lines: &[String]) -> Result<()> {
    let entries: Vec<Entry> =
        lines.iter().filter(|l| !l.trim().is_empty()).map(|l| entry(l)).collect::<Result<_>>()?;
    let socket = UdpSocket::bind("127.0.0.1:53")?;
    thread::spawn(move || {
        let mut buf = [0; 2048];
        while let Ok((n, from)) = socket.recv_from(&mut buf) {
            let Some((reply, slow)) = Message::from_vec(&buf[..n]).ok().and_then(|q| answer(&entries, &q))
            else {
                continue;
            };
            let Ok(socket) = socket.try_clone() else { continue };
            let send = move || {
                let _ = socket.send_to(&reply, from);
            };
            if slow {
                thread::spawn(move || {
                    thread::sleep(SLOW);
                    send();
                });
            } else {
                send();
            }
        }
    });
    Ok(())
}

fn entry(line: &str) -> Result<Entry> {
    let mut words = line.splitn(3, char::is_whitespace).map(str::trim);
    let (name, kind, data) = (words.next(), words.next(), words.next());
    let (name, kind, data) =
        name.zip(kind).zip(data).map(|((n, k), d)| (n, k, d)).with_context(|| line.to_owned())?;
    let name = name.parse::<IpAddr>().map_or_else(|_| name.to_ascii_lowercase(), reverse);
    let (data, slow) = data.strip_prefix("!SLOW ").map_or((data, false), |d| (d, true));
    let (data, vouched) = data.strip_prefix("!AD ").map_or((data, false), |d| (d, true));
    let trouble = match data {
        "!SERVFAIL" => Some(Trouble::ServFail),
        "!REFUSED" => Some(Trouble::Refused),
        "!TIMEOUT" => Some(Trouble::Timeout),
        _ => None,
    };
    if let Some(trouble) = trouble {
        return Ok(Entry { name, kind: kind.into(), data: Err(trouble), slow, vouched });
    }
    let host = |t: &str| Name::from_str(&format!("{}.", t.trim_end_matches('.')));
    let data = match kind {
        "A" => RData::A(A(data.parse::<Ipv4Addr>()?)),
        "AAAA" => RData::AAAA(AAAA(data.parse::<Ipv6Addr>()?)),
        "CNAME" => RData::CNAME(CNAME(host(data)?)),
        "NS" => RData::NS(NS(host(data)?)),
        "PTR" => RData::PTR(PTR(host(data)?)),
        "TXT" => {
            let text: Vec<char> = data.trim_matches('"').chars().collect();
            RData::TXT(TXT::new(text.chunks(255).map(|c| c.iter().collect()).collect()))
        }
        "MX" => {
            let (preference, exchange) = data.split_once(' ').context("MX needs a preference")?;
            RData::MX(MX::new(preference.parse()?, host(exchange)?))
        }
        "TLSA" => RData::TLSA(tlsa(data)?),
        other => anyhow::bail!("type {other}"),
    };
    Ok(Entry { name, kind: kind.into(), data: Ok(data), slow, vouched })
}

/// `3 1 1 HEX`.
fn tlsa(data: &str) -> Result<TLSA> {
    let words: Vec<&str> = data.split_whitespace().collect();
    let [usage, selector, matching, hex] = words[..] else { anyhow::bail!("TLSA {data}") };
    let bytes: Result<Vec<u8>, _> =
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16)).collect();
    let number = |word: &str| word.parse::<u8>();
    Ok(TLSA::new(
        CertUsage::from(number(usage)?),
        Selector::from(number(selector)?),
        Matching::from(number(matching)?),
        bytes?,
    ))
}

fn reverse(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(a) => {
            let [a, b, c, d] = a.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(a) => {
            let nibbles = a.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            nibbles.map(|n| format!("{n:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

/// The reply, and whether it takes its time.
fn answer(entries: &[Entry], query: &Message) -> Option<(Vec<u8>, bool)> {
    let question = query.queries.first()?.clone();
    let asked = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let kind = question.query_type().to_string();
    let mut m = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    m.metadata.recursion_available = true;
    m.add_query(question.clone());
    let known: Vec<_> = entries.iter().filter(|e| e.name == asked).collect();
    let below = format!(".{asked}");
    if known.is_empty() && !entries.iter().any(|e| e.name.ends_with(&below)) {
        m.metadata.response_code = ResponseCode::NXDomain;
    }
    let mut slow = false;
    // RFC 6840 5.7: who sets AD or DO wants to hear of it.
    let asked_for = query.metadata.authentic_data || query.edns.as_ref().is_some_and(|e| e.flags().dnssec_ok);
    let mut vouched = asked_for && !known.is_empty();
    for e in known.iter().filter(|e| e.kind == kind || e.kind == "CNAME") {
        slow |= e.slow;
        vouched &= e.vouched;
        match &e.data {
            Ok(data) => {
                m.add_answer(Record::from_rdata(question.name().clone(), 60, data.clone()));
            }
            Err(Trouble::ServFail) => m.metadata.response_code = ResponseCode::ServFail,
            Err(Trouble::Refused) => m.metadata.response_code = ResponseCode::Refused,
            Err(Trouble::Timeout) => return None,
        }
    }
    m.metadata.authentic_data = vouched;
    m.to_vec().ok().map(|bytes| (bytes, slow))
}
