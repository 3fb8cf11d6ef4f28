//! A name server on 127.0.0.1:53 of the namespace, from lines `NAME TYPE DATA`.
//!
//! `IP PTR NAME` makes a reverse record; data `!SERVFAIL` fails; a name that no line has is NXDOMAIN.

use anyhow::{Context, Result};
use hickory_proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{
        Name, RData, Record,
        rdata::{A, MX, PTR, TXT},
    },
};
use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    str::FromStr,
    thread,
};

/// A line, parsed.
#[derive(Clone)]
struct Entry {
    name: String,
    kind: String,
    data: Option<RData>,
}

/// Starts the server.
pub fn start(lines: &[String]) -> Result<()> {
    let entries: Vec<Entry> =
        lines.iter().filter(|l| !l.trim().is_empty()).map(|l| entry(l)).collect::<Result<_>>()?;
    let socket = UdpSocket::bind("127.0.0.1:53")?;
    thread::spawn(move || {
        let mut buf = [0; 2048];
        while let Ok((n, from)) = socket.recv_from(&mut buf) {
            if let Some(reply) = Message::from_vec(&buf[..n]).ok().and_then(|q| answer(&entries, &q)) {
                let _ = socket.send_to(&reply, from);
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
    if data.starts_with('!') {
        return Ok(Entry { name, kind: kind.into(), data: None });
    }
    let host = |t: &str| Name::from_str(&format!("{}.", t.trim_end_matches('.')));
    let data = match kind {
        "A" => RData::A(A(data.parse::<Ipv4Addr>()?)),
        "PTR" => RData::PTR(PTR(host(data)?)),
        "TXT" => RData::TXT(TXT::new(vec![data.trim_matches('"').to_owned()])),
        "MX" => {
            let (preference, exchange) = data.split_once(' ').context("MX needs a preference")?;
            RData::MX(MX::new(preference.parse()?, host(exchange)?))
        }
        other => anyhow::bail!("type {other}"),
    };
    Ok(Entry { name, kind: kind.into(), data: Some(data) })
}

fn reverse(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(a) => {
            let [a, b, c, d] = a.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(_) => ip.to_string(),
    }
}

fn answer(entries: &[Entry], query: &Message) -> Option<Vec<u8>> {
    let question = query.queries.first()?.clone();
    let asked = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let kind = question.query_type().to_string();
    let mut m = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    m.metadata.recursion_available = true;
    m.add_query(question.clone());
    let known: Vec<_> = entries.iter().filter(|e| e.name == asked).collect();
    if known.is_empty() {
        m.metadata.response_code = ResponseCode::NXDomain;
    }
    for e in known.iter().filter(|e| e.kind == kind) {
        match &e.data {
            Some(data) => {
                m.add_answer(Record::from_rdata(question.name().clone(), 60, data.clone()));
            }
            None => m.metadata.response_code = ResponseCode::ServFail,
        }
    }
    m.to_vec().ok()
}
