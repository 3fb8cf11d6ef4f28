//! The connection to one milter: packets with time limits.
//!
//! An error is the system's words, as they stand in `milter NAME: can't read SMFIC_MAIL reply packet header: WORDS`.

use base_net::{BoxIo, ConnectOptions, Endpoint, connect, connect_unix};
use proto_milter::MAX_PACKET;
use std::{io, net::SocketAddr, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// A connection.
pub(crate) struct Link {
    io: BoxIo,
}

impl Link {
    /// Connects; `folder` is where relative paths start.
    pub async fn open(to: &Endpoint, folder: &Path, limit: Duration) -> io::Result<Self> {
        let socket = match to {
            Endpoint::Unix(path) => connect_unix(&folder.join(path), limit).await?,
            Endpoint::Inet { host, port } => {
                let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
                let mut connected = None;
                for address in addresses(host, *port, limit).await? {
                    match connect(address, &ConnectOptions::within(limit)).await {
                        Ok(socket) => {
                            connected = Some(socket);
                            break;
                        }
                        Err(e) => last = e,
                    }
                }
                connected.ok_or(last)?
            }
        };
        Ok(Self { io: socket.boxed() })
    }

    /// Sends packets.
    pub async fn send(&mut self, packets: &[u8], limit: Duration) -> io::Result<()> {
        within(limit, async {
            self.io.write_all(packets).await?;
            self.io.flush().await
        })
        .await
    }

    /// The next packet: its letter and data.
    pub async fn receive(&mut self, limit: Duration) -> io::Result<(u8, Vec<u8>)> {
        within(limit, async {
            let len = usize::try_from(self.io.read_u32().await?).unwrap_or(usize::MAX);
            if len == 0 || len > MAX_PACKET {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "unreasonable packet length"));
            }
            let letter = self.io.read_u8().await?;
            let mut data = vec![0; len - 1];
            self.io.read_exact(&mut data).await?;
            Ok((letter, data))
        })
        .await
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn addresses(host: &str, port: u16, limit: Duration) -> io::Result<Vec<SocketAddr>> {
    let host = if host.is_empty() { "localhost" } else { host };
    within(limit, async { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }).await
}

/// The system's words for what went wrong; for a connection that ended, Postfix's.
pub(crate) fn words(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => "Application error".to_owned(),
        io::ErrorKind::TimedOut => "Connection timed out".to_owned(),
        _ => base_net::os_text(e),
    }
}
