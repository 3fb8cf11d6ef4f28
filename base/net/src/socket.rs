//! A connected stream socket, TCP or UNIX-domain, and the trait object that later also holds a TLS session.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// Anything that bytes can be read from and written to.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + ?Sized> Io for T {}

/// A stream of any kind.
pub type BoxIo = Box<dyn Io>;

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// UNIX-domain.
    Unix(UnixStream),
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddr {
    /// TCP client; IPv4-mapped IPv6 addresses are given as IPv4.
    Inet(SocketAddr),
    /// UNIX-domain client.
    Unix,
}

impl PeerAddr {
    /// From what the kernel says, with IPv4-mapped addresses made IPv4.
    pub fn inet(addr: SocketAddr) -> Self {
        Self::Inet(SocketAddr::new(addr.ip().to_canonical(), addr.port()))
    }
}

impl Socket {
    /// The address of the peer.
    pub fn peer(&self) -> io::Result<PeerAddr> {
        match self {
            Self::Tcp(s) => s.peer_addr().map(PeerAddr::inet),
            Self::Unix(_) => Ok(PeerAddr::Unix),
        }
    }

    /// Our own address.
    pub fn local(&self) -> io::Result<PeerAddr> {
        match self {
            Self::Tcp(s) => s.local_addr().map(PeerAddr::inet),
            Self::Unix(_) => Ok(PeerAddr::Unix),
        }
    }

    /// As a trait object, for a [`crate::LineStream`] that may change to TLS later.
    pub fn boxed(self) -> BoxIo {
        match self {
            Self::Tcp(s) => Box::new(s),
            Self::Unix(s) => Box::new(s),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Self::Unix(s) => Pin::new(s).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Self::Unix(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
