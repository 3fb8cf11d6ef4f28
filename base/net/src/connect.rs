//! One connection attempt to one address (smtp_bind_address, smtp_connect_timeout of postconf(5)).

use crate::Socket;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};
use tokio::{
    net::{TcpSocket, UnixStream},
    time::timeout,
};

/// How to connect.
#[derive(Debug, Clone, Copy)]
pub struct ConnectOptions {
    /// Source address for IPv4 peers.
    pub bind4: Option<Ipv4Addr>,
    /// Source address for IPv6 peers.
    pub bind6: Option<Ipv6Addr>,
    /// Give up after this; zero means the kernel's own limit.
    pub time_limit: Duration,
}

impl ConnectOptions {
    /// No source address.
    pub const fn within(time_limit: Duration) -> Self {
        Self { bind4: None, bind6: None, time_limit }
    }

    fn source(&self, to: IpAddr) -> Option<IpAddr> {
        match to {
            IpAddr::V4(_) => self.bind4.map(IpAddr::V4),
            IpAddr::V6(_) => self.bind6.map(IpAddr::V6),
        }
    }
}

/// Connects by TCP, with TCP_NODELAY. A passed time limit is `ErrorKind::TimedOut`.
pub async fn connect(to: SocketAddr, options: &ConnectOptions) -> io::Result<Socket> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = options.source(to.ip()) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.set_nodelay(true)?;
    limited(options.time_limit, socket.connect(to)).await.map(Socket::Tcp)
}

/// Connects to a UNIX-domain socket.
pub async fn connect_unix(path: &Path, time_limit: Duration) -> io::Result<Socket> {
    limited(time_limit, UnixStream::connect(path)).await.map(Socket::Unix)
}

async fn limited<T>(limit: Duration, attempt: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    if limit.is_zero() {
        return attempt.await;
    }
    timeout(limit, attempt).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Listener, PeerAddr};

    #[tokio::test]
    async fn from_a_source_address() {
        let listener = crate::bind("127.0.0.1:0".parse().unwrap(), 16).unwrap();
        let Some(PeerAddr::Inet(to)) = listener.local() else { panic!("no address") };
        let options = ConnectOptions {
            bind4: Some(Ipv4Addr::new(127, 0, 0, 9)),
            ..ConnectOptions::within(Duration::from_secs(5))
        };
        let (ours, theirs) = tokio::join!(connect(to, &options), listener.accept());
        let PeerAddr::Inet(peer) = theirs.unwrap().1 else { panic!("not inet") };
        assert_eq!(peer.ip(), Ipv4Addr::new(127, 0, 0, 9));
        drop(ours);
    }

    #[tokio::test]
    async fn refused_and_missing() {
        let listener = crate::bind("127.0.0.1:0".parse().unwrap(), 16).unwrap();
        let Some(PeerAddr::Inet(to)) = listener.local() else { panic!("no address") };
        drop(listener);
        let e = connect(to, &ConnectOptions::within(Duration::from_secs(5))).await.unwrap_err();
        assert_eq!(crate::os_text(&e), "Connection refused");
        let e = connect_unix(Path::new("/nonexistent/x"), Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(crate::os_text(&e), "No such file or directory");
    }

    #[tokio::test]
    async fn unix_sockets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener =
            Listener::from_fd(std::os::unix::net::UnixListener::bind(&path).unwrap().into()).unwrap();
        let (a, b) = tokio::join!(connect_unix(&path, Duration::from_secs(5)), listener.accept());
        assert!(a.is_ok());
        assert_eq!(b.unwrap().1, PeerAddr::Unix);
    }
}
