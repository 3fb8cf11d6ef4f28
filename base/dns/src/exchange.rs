//! One question to the name servers: UDP, TCP when the reply does not fit, the next server when one fails.

use crate::DnsError;
use crate::resolv_conf::ResolvConf;
use crate::wire::{self, Kind, Reply};
use hickory_proto::rr::Name;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

/// The longest wait for one server, however often it was tried.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// What to ask and how.
pub struct Ask<'a> {
    /// The servers.
    pub conf: &'a ResolvConf,
    /// The server to start with.
    pub first: usize,
    /// Ask for the AD bit.
    pub dnssec: bool,
}

impl Ask<'_> {
    /// Asks until a server gives an answer. `TempFail` when none does.
    pub async fn ask(&self, name: &Name, kind: Kind) -> Result<Reply, DnsError> {
        let servers = &self.conf.servers;
        let mut reason = String::from("no name server");
        for attempt in 0..self.conf.attempts {
            for offset in 0..servers.len() {
                let Some(server) = servers.get((self.first + offset) % servers.len().max(1)) else {
                    continue;
                };
                let wait = self.wait(attempt);
                match self.ask_server(*server, name, kind, wait).await {
                    Ok(Reply::Trouble(what)) | Err(what) => reason = format!("{}: {what}", server.ip()),
                    Ok(reply) => return Ok(reply),
                }
            }
        }
        Err(DnsError::TempFail(reason))
    }

    /// As resolv.conf(5) has it: the later tries share a wait that doubles.
    fn wait(&self, attempt: u32) -> Duration {
        let servers = u32::try_from(self.conf.servers.len().max(1)).unwrap_or(1);
        let wait = match attempt {
            0 => self.conf.timeout,
            n => self.conf.timeout.saturating_mul(1 << n.min(5)) / servers,
        };
        wait.clamp(Duration::from_secs(1), MAX_WAIT)
    }

    async fn ask_server(
        &self,
        server: SocketAddr,
        name: &Name,
        kind: Kind,
        wait: Duration,
    ) -> Result<Reply, String> {
        let end = Instant::now() + wait;
        let reply = match self.once(server, name, kind, true, end).await? {
            Reply::NotUnderstood => self.once(server, name, kind, false, end).await?,
            reply => reply,
        };
        Ok(match reply {
            Reply::NotUnderstood => Reply::Absent(DnsError::Refused("format error".to_owned()), 0),
            reply => reply,
        })
    }

    async fn once(
        &self,
        server: SocketAddr,
        name: &Name,
        kind: Kind,
        edns: bool,
        end: Instant,
    ) -> Result<Reply, String> {
        let id = rand::random::<u16>();
        let question = wire::question(id, name, kind, self.dnssec, edns).map_err(|e| e.to_string())?;
        let question = Question { bytes: &question, id, name, kind };
        if !self.conf.use_tcp {
            let reply = within(end, question.by_udp(server)).await?;
            if reply != Reply::Truncated {
                return Ok(reply);
            }
        }
        // The server took its time for the first reply already; TCP gets at least as much again.
        let end = end.max(Instant::now() + self.conf.timeout);
        match within(end, question.by_tcp(server)).await? {
            Reply::Truncated => Ok(Reply::Trouble("truncated reply over TCP".to_owned())),
            reply => Ok(reply),
        }
    }
}

async fn within<T>(end: Instant, work: impl Future<Output = std::io::Result<T>>) -> Result<T, String> {
    match timeout_at(end, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("timed out".to_owned()),
    }
}

struct Question<'a> {
    bytes: &'a [u8],
    id: u16,
    name: &'a Name,
    kind: Kind,
}

impl Question<'_> {
    async fn by_udp(&self, server: SocketAddr) -> std::io::Result<Reply> {
        // A socket of its own: the system picks a random port, and only this server's packets get in.
        let any: IpAddr = if server.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        socket.connect(server).await?;
        socket.send(self.bytes).await?;
        let mut buffer = vec![0; 4096];
        loop {
            let len = socket.recv(&mut buffer).await?;
            let bytes = buffer.get(..len).unwrap_or_default();
            if let Some(reply) = wire::reply(bytes, self.id, self.name, self.kind) {
                return Ok(reply);
            }
        }
    }

    async fn by_tcp(&self, server: SocketAddr) -> std::io::Result<Reply> {
        let mut stream = TcpStream::connect(server).await?;
        let len = u16::try_from(self.bytes.len()).map_err(std::io::Error::other)?;
        stream.write_all(&[&len.to_be_bytes(), self.bytes].concat()).await?;
        let len = stream.read_u16().await?;
        let mut bytes = vec![0; usize::from(len)];
        stream.read_exact(&mut bytes).await?;
        let reply = wire::reply(&bytes, self.id, self.name, self.kind);
        reply.ok_or_else(|| std::io::Error::other("reply to another question"))
    }
}
