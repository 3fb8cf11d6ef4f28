//! Sockets that a service manager has bound (sd_listen_fds(3)): an endpoint with the same address takes its socket from here
//! instead of binding.
//!
//! With `ListenStream=0.0.0.0:25` in a socket unit, connections that come while the server is restarted wait instead of being
//! refused, and no program needs the right to bind port 25.

use base_sys::fds;
use socket2::{SockRef, Socket};
use std::{io, net::SocketAddr, os::fd::OwnedFd, path::Path};

/// The most sockets that are taken over.
const MOST: u32 = 256;
/// The first one's number.
const FIRST: u32 = 3;

/// What was handed over and is not in use yet.
#[derive(Debug, Default)]
pub struct Given(Vec<OwnedFd>);

impl Given {
    /// From the environment: `LISTEN_FDS`, for the process `LISTEN_PID`. Call it once, before any descriptor is opened.
    pub fn from_environment() -> io::Result<Self> {
        let number = |name| std::env::var(name).ok().and_then(|v| v.parse::<u32>().ok());
        if number("LISTEN_PID") != Some(std::process::id()) {
            return Ok(Self::default());
        }
        let count = number("LISTEN_FDS").unwrap_or(0).min(MOST);
        (FIRST..FIRST + count).map(|n| fds::adopt(&n.to_string())).collect::<io::Result<_>>().map(Self)
    }

    /// Sockets that are bound already.
    #[cfg(test)]
    pub fn of(sockets: Vec<OwnedFd>) -> Self {
        Self(sockets)
    }

    /// The one that listens on this address.
    pub fn take_inet(&mut self, address: SocketAddr) -> Option<Socket> {
        self.take(|local| local.as_socket() == Some(address))
    }

    /// The one that listens on this path.
    pub fn take_unix(&mut self, path: &Path) -> Option<Socket> {
        self.take(|local| local.as_pathname() == Some(path))
    }

    fn take(&mut self, is: impl Fn(&socket2::SockAddr) -> bool) -> Option<Socket> {
        let at = self.0.iter().position(|fd| SockRef::from(fd).local_addr().is_ok_and(|a| is(&a)))?;
        Some(self.0.swap_remove(at).into())
    }

    /// The addresses that no service of master.cf has asked for.
    pub fn left(&self) -> Vec<String> {
        let shown = |fd: &OwnedFd| {
            let address = SockRef::from(fd).local_addr().ok()?;
            let path = address.as_pathname().map(|p| p.display().to_string());
            path.or_else(|| address.as_socket().map(|a| a.to_string()))
        };
        self.0.iter().filter_map(shown).collect()
    }
}
