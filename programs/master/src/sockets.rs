//! Binding: TCP with SO_REUSEADDR and IPv6 kept apart from IPv4, Unix sockets that anybody who reaches them may use.
//!
//! Who reaches a Unix socket is a matter of the folder it is in (`private` 0700, `public` 2710). A left-over socket is
//! replaced; the mode comes from the umask, as a chmod by name could be led astray by the owner of the folder.

use crate::{
    activation::Given,
    endpoints::{Endpoint, Place},
};
use anyhow::{Result, anyhow};
use base_sys::{limits, system_text};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{collections::BTreeMap, io, net::SocketAddr, os::fd::OwnedFd, path::Path};

const BACKLOG: i32 = 4096;

/// The bound sockets of the current configuration.
#[derive(Debug, Default)]
pub struct Sockets {
    open: BTreeMap<String, (Endpoint, OwnedFd)>,
    given: Given,
}

fn name(endpoint: &Endpoint) -> String {
    format!("{} {}", endpoint.key.service, endpoint.key.address)
}

/// What a reload changed.
#[derive(Debug, Default)]
pub struct Difference {
    /// Bound now.
    pub opened: Vec<Endpoint>,
    /// Closed now.
    pub closed: Vec<Endpoint>,
    /// Could not be bound, with the reason.
    pub failed: Vec<String>,
    /// The same of sockets that no mail comes by.
    pub spared: Vec<String>,
}

impl Sockets {
    /// None yet, but those that were handed over.
    pub fn new(given: Given) -> Self {
        Self { open: BTreeMap::new(), given }
    }

    /// What was handed over and nobody wants.
    pub fn unwanted(&self) -> Vec<String> {
        self.given.left()
    }

    /// Binds what is new, closes what is gone. A socket that only changed its service name is bound anew.
    pub fn update(&mut self, queue: &Path, wanted: &[Endpoint]) -> Difference {
        let mut difference = Difference::default();
        let keep: Vec<String> = wanted.iter().map(name).collect();
        let gone: Vec<String> = self.open.keys().filter(|k| !keep.contains(k)).cloned().collect();
        for key in gone {
            difference.closed.extend(self.open.remove(&key).map(|(e, _)| e));
        }
        for endpoint in wanted {
            if self.open.contains_key(&name(endpoint)) {
                continue;
            }
            match bind(queue, &endpoint.place, &mut self.given) {
                Ok(Some(fd)) => {
                    self.open.insert(name(endpoint), (endpoint.clone(), fd));
                    difference.opened.push(endpoint.clone());
                }
                Ok(None) => {}
                Err(e) if endpoint.takes_mail() => difference.failed.push(e.to_string()),
                Err(e) => difference.spared.push(format!("{}: {e}", endpoint.key.service)),
            }
        }
        difference
    }

    /// Everything that is bound.
    pub fn iter(&self) -> impl Iterator<Item = (&Endpoint, &OwnedFd)> {
        self.open.values().map(|(e, fd)| (e, fd))
    }

    /// The socket of one endpoint.
    pub fn get(&self, endpoint: &Endpoint) -> Option<&OwnedFd> {
        self.open.get(&name(endpoint)).map(|(_, fd)| fd)
    }
}

/// `Ok(None)`: this machine has no such protocol (IPv6 switched off).
fn bind(queue: &Path, place: &Place, given: &mut Given) -> Result<Option<OwnedFd>> {
    let handed = match place {
        Place::Inet(address) => given.take_inet(*address),
        Place::Unix(path) => given.take_unix(&queue.join(path)),
    };
    if let Some(socket) = handed {
        return listen(socket).map(Some).map_err(|e| anyhow!("listen: {}", system_text(&e)));
    }
    match place {
        Place::Inet(address) => match bind_inet(*address) {
            Err(e) if address.is_ipv6() && has_no_ipv6(&e, *address) => Ok(None),
            other => other
                .map(Some)
                .map_err(|e| anyhow!("bind {} port {}: {}", address.ip(), address.port(), system_text(&e))),
        },
        Place::Unix(path) => {
            let path = queue.join(path);
            bind_unix(&path).map(Some).map_err(|e| anyhow!("bind {}: {}", path.display(), system_text(&e)))
        }
    }
}

fn has_no_ipv6(error: &io::Error, address: SocketAddr) -> bool {
    let general = address.ip().is_unspecified() || address.ip().is_loopback();
    let code = error.raw_os_error();
    // EAFNOSUPPORT, EADDRNOTAVAIL
    general && (code == Some(97) || code == Some(99))
}

fn bind_inet(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    finish(socket, &address.into())
}

fn bind_unix(path: &Path) -> io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    let old = limits::set_umask(0o111);
    let done = finish(socket, &address);
    limits::set_umask(old);
    done
}

fn finish(socket: Socket, address: &SockAddr) -> io::Result<OwnedFd> {
    socket.bind(address)?;
    listen(socket)
}

fn listen(socket: Socket) -> io::Result<OwnedFd> {
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::Server;
    use base_sys::handoff::ListenerKey;
    use std::{
        net::{TcpListener, TcpStream},
        os::unix::{fs::PermissionsExt, net::UnixStream},
    };

    fn inet(service: &str, port: u16) -> Endpoint {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let key = ListenerKey { service: service.into(), address: address.to_string() };
        Endpoint { key, place: Place::Inet(address), server: Server::Worker }
    }

    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn a_reload_opens_and_closes() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (inet("a/inet", free_port()), inet("b/inet", free_port()));
        let mut sockets = Sockets::default();
        let d = sockets.update(dir.path(), &[a.clone(), b.clone()]);
        assert_eq!((d.opened.len(), d.closed.len(), d.failed.len()), (2, 0, 0));
        let d = sockets.update(dir.path(), std::slice::from_ref(&b));
        assert_eq!((d.opened.len(), d.closed), (0, vec![a.clone()]));
        let Place::Inet(closed) = a.place else { unreachable!() };
        assert!(TcpStream::connect(closed).is_err());
        let Place::Inet(kept) = b.place else { unreachable!() };
        assert!(TcpStream::connect(kept).is_ok());
        assert_eq!(sockets.iter().count(), 1);
    }

    #[test]
    fn a_port_in_use_is_named_as_postfix_names_it() {
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = busy.local_addr().unwrap().port();
        let d = Sockets::default().update(Path::new("/"), &[inet("x/inet", port)]);
        let reason = format!("bind 127.0.0.1 port {port}: Address already in use");
        assert_eq!(d.failed, [reason.as_str()]);
        let d = Sockets::default().update(Path::new("/"), &[inet("tls_acme_listen/inet", port)]);
        assert_eq!((d.failed.len(), d.spared), (0, vec![format!("tls_acme_listen/inet: {reason}")]));
    }

    #[test]
    fn a_socket_that_was_handed_over_is_not_bound_again() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, other) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (port, unwanted) = (ours.local_addr().unwrap().port(), other.local_addr().unwrap().to_string());
        let path = dir.path().join("s");
        let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut sockets = Sockets::new(Given::of(vec![other.into(), unix.into(), ours.into()]));
        let key = ListenerKey { service: "s/unix".into(), address: "s".into() };
        let local = Endpoint { key, place: Place::Unix("s".into()), server: Server::Worker };
        let d = sockets.update(dir.path(), &[inet("x/inet", port), local]);
        assert_eq!((d.opened.len(), d.failed.len()), (2, 0), "{d:?}");
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok() && UnixStream::connect(&path).is_ok());
        assert_eq!(sockets.unwanted(), [unwanted]);
    }

    #[test]
    fn a_left_over_unix_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(bind_unix(&path).unwrap());
        let _fd = bind_unix(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    }
}
