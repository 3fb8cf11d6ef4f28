//! Asking a name server: UDP with a fresh port and id for each question, TCP when the answer is truncated.

use crate::{
    DnsError,
    conf::ResolvConf,
    wire::{Outcome, Question, read},
};
use hickory_proto::op::{Message, ResponseCode};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// Replies to other questions that are skipped before a server counts as silent.
const MAX_STRAYS: usize = 20;

/// Asks the servers in turn until one gives an answer that counts. Also the seconds for which it holds.
pub(crate) async fn ask(
    conf: &ResolvConf,
    question: &Question,
    dnssec: bool,
    turn: &AtomicUsize,
) -> (Outcome, u32) {
    let n = conf.servers.len();
    let start = if conf.rotate { turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
    let mut last = DnsError::TempFail("no name server answers".into());
    for _ in 0..conf.attempts {
        for i in 0..n {
            let Some(server) = conf.servers.get((start + i) % n) else { continue };
            match one(*server, question, dnssec, conf.timeout).await {
                Ok(reply) if is_final(&reply) => return read(question, &reply),
                Ok(reply) => last = read(question, &reply).0.err().unwrap_or(last),
                Err(e) => last = DnsError::TempFail(format!("{server}: {e}")),
            }
        }
    }
    (Err(last), 0)
}

/// A server that has trouble of its own is no authority; the next may know.
fn is_final(reply: &Message) -> bool {
    matches!(reply.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
}

async fn one(
    server: SocketAddr,
    question: &Question,
    dnssec: bool,
    limit: Duration,
) -> std::io::Result<Message> {
    let id = rand::random();
    let query = question.message(id, dnssec).map_err(std::io::Error::other)?;
    let reply = timeout(limit, udp(server, question, id, &query)).await.map_err(std::io::Error::other)??;
    if !reply.metadata.truncation {
        return Ok(reply);
    }
    timeout(limit, tcp(server, question, id, &query)).await.map_err(std::io::Error::other)?
}

async fn udp(server: SocketAddr, question: &Question, id: u16, query: &[u8]) -> std::io::Result<Message> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buf = vec![0; 4096];
    for _ in 0..MAX_STRAYS {
        let n = socket.recv(&mut buf).await?;
        let reply = buf.get(..n).and_then(|b| Message::from_vec(b).ok());
        if let Some(reply) = reply.filter(|r| question.is_answered_by(r, id)) {
            return Ok(reply);
        }
    }
    Err(std::io::Error::other("only unrelated answers"))
}

async fn tcp(server: SocketAddr, question: &Question, id: u16, query: &[u8]) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let len = u16::try_from(query.len()).map_err(std::io::Error::other)?;
    let mut framed = len.to_be_bytes().to_vec();
    framed.extend_from_slice(query);
    stream.write_all(&framed).await?;
    let len = stream.read_u16().await?;
    let mut buf = vec![0; usize::from(len)];
    stream.read_exact(&mut buf).await?;
    let reply = Message::from_vec(&buf).map_err(std::io::Error::other)?;
    match question.is_answered_by(&reply, id) {
        true => Ok(reply),
        false => Err(std::io::Error::other("an answer to another question")),
    }
}
