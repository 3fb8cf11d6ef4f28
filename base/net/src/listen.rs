//! Listening sockets: bound here, or inherited from the master process.

use crate::{PeerAddr, Socket};
use socket2::{Domain, Protocol, SockRef, Type};
use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};
use tokio::net::{TcpListener, UnixListener};

/// A listening socket. Making one needs a running tokio runtime.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// UNIX-domain.
    Unix(UnixListener),
}

/// Binds a TCP address and listens. An IPv6 address takes IPv6 clients only, so that both families can be bound.
pub fn bind(addr: SocketAddr, backlog: u32) -> io::Result<Listener> {
    let socket = socket2::Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Listener::from_fd(socket.into())
}

impl Listener {
    /// Takes over a listening descriptor of either kind.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let domain = {
            let socket = SockRef::from(&fd);
            socket.set_nonblocking(true)?;
            socket.domain()?
        };
        if domain == Domain::UNIX {
            UnixListener::from_std(fd.into()).map(Self::Unix)
        } else {
            TcpListener::from_std(fd.into()).map(Self::Tcp)
        }
    }

    /// The next connection, with TCP_NODELAY. Errors that concern one client only (it went away again) are skipped;
    /// others, such as "too many open files", are returned and the caller waits a little.
    pub async fn accept(&self) -> io::Result<(Socket, PeerAddr)> {
        loop {
            let result = match self {
                Self::Tcp(l) => l.accept().await.map(|(s, peer)| {
                    let _ = s.set_nodelay(true);
                    (Socket::Tcp(s), PeerAddr::inet(peer))
                }),
                Self::Unix(l) => l.accept().await.map(|(s, _)| (Socket::Unix(s), PeerAddr::Unix)),
            };
            match result {
                Err(e) if concerns_one_client(&e) => continue,
                other => return other,
            }
        }
    }

    /// Our address.
    pub fn local(&self) -> Option<PeerAddr> {
        match self {
            Self::Tcp(l) => l.local_addr().ok().map(PeerAddr::Inet),
            Self::Unix(_) => Some(PeerAddr::Unix),
        }
    }
}

/// accept(2) reports network errors that are already pending on the new socket.
fn concerns_one_client(e: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        e.kind(),
        K::ConnectionAborted
            | K::ConnectionReset
            | K::Interrupted
            | K::HostUnreachable
            | K::NetworkUnreachable
            | K::NetworkDown
    )
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(l) => l.as_fd(),
            Self::Unix(l) => l.as_fd(),
        }
    }
}
