//! What master tells worker and courier: listening sockets, reload, stop; what they answer; and what they ask: a file that
//! only root may read ("open for me", [`crate::opener`]).
//!
//! One SOCK_SEQPACKET Unix socket for each child, inherited under the number in [`ENV`]. Master sends all listeners,
//! then [`Order::Configured`]; on reload [`Order::Listener`]s that are new, [`Order::Close`] for those that are gone,
//! then `Configured` again: the child reads main.cf and master.cf itself at each `Configured` and answers
//! [`Reply::Ready`] or [`Reply::Failed`].
//!
//! A program that was replaced on disk gives way to the new one. The new worker gets [`Order::Prepare`] first and says
//! [`Reply::Prepared`] when nothing can go wrong any more but the spool, which the old one has. Then the old one gets
//! [`Order::HandOver`], the new one its listeners, [`Order::TakeOver`] with the other end of the same socket, and `Configured`. The
//! courier has nothing to hand over: when the new one is ready, the old one gets [`Order::Retire`]. Old ones end by themselves
//! when they have finished. As master and the new program may be of different builds then, `Prepared` carries [`PROTOCOL`].
//!
//! End of file means that master is gone: the child finishes what it has in hand
//! and exits. Messages are small and bounded; one that does not parse is an error, as both ends are of one build.

use crate::{explain, fds};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

/// The environment variable with the number of the inherited socket.
pub const ENV: &str = "HIKYAKU_MASTER_FD";

/// The environment variable with the configuration directory (`-c`), also set for children of master.
pub const ENV_CONFIG: &str = "MAIL_CONFIG";

/// Which orders and replies, and which link between an old and a new worker, this build speaks.
pub const PROTOCOL: u32 = 1;

const MAX: usize = 8192;

/// Names a listening socket. One service may have several (one an address).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerKey {
    /// `name/type` of the master.cf entry, as `postconf -M` names it: `smtp/inet`, `showq/unix`.
    pub service: String,
    /// `127.0.0.1:25`, `[::1]:25`, or the path below queue_directory, `public/showq`.
    pub address: String,
}

/// From master.
#[derive(Debug)]
pub enum Order {
    /// A bound, listening, non-blocking socket.
    Listener(ListenerKey, OwnedFd),
    /// No longer configured: close it, let its sessions finish.
    Close(ListenerKey),
    /// All listeners of this generation are known: read the configuration (again).
    Configured {
        /// Counts from 1; comes back in [`Reply::Ready`].
        generation: u32,
    },
    /// Load everything but the spool and wait.
    Prepare,
    /// Give the spool to the process at the other end of this socket; finish sessions and deliveries and exit.
    HandOver(OwnedFd),
    /// The other end: the spool comes from there, at the next `Configured`.
    TakeOver(OwnedFd),
    /// Accept no more, finish what is in hand, however long it takes, and exit.
    Retire,
    /// Finish in an orderly way and exit; after the time limit master kills.
    Stop,
    /// Are you there? Asked only when a service manager watches.
    Ping,
    /// The answer to [`Reply::Open`].
    Opened {
        /// From [`Reply::Open`].
        number: u32,
        /// The file, open for reading, or the system's error number.
        file: Result<OwnedFd, i32>,
    },
}

/// To master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The configuration of this generation is in use.
    Ready {
        /// From [`Order::Configured`].
        generation: u32,
    },
    /// The configuration could not be used; at the first generation the child exits, later it goes on with the old one.
    /// The child has logged it too.
    Failed {
        /// From [`Order::Configured`].
        generation: u32,
        /// The reason, for `postfix start`.
        reason: String,
    },
    /// The configuration of this generation needs a process that is started anew (its sandbox is larger). The child goes on with
    /// the previous one.
    Renew {
        /// From [`Order::Configured`].
        generation: u32,
    },
    /// The answer to [`Order::Prepare`].
    Prepared {
        /// [`PROTOCOL`] of the child.
        protocol: u32,
    },
    /// The answer to [`Order::Ping`].
    Pong,
    /// Open this file for me; comes back as [`Order::Opened`].
    Open {
        /// Tells answers apart.
        number: u32,
        /// An absolute path that the configuration names.
        path: String,
    },
}

/// One end.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Channel {
    /// Both ends: the first for master, the second for the child. Close-on-exec, blocking.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .map_err(|e| explain("socketpair", e))?;
        Ok((Self(a), Self(b)))
    }

    /// The end that this process inherited from master: `None` when it was not started by master.
    pub fn inherited() -> io::Result<Option<Self>> {
        match std::env::var(ENV) {
            Ok(number) => fds::adopt(&number).map(|fd| Some(Self(fd))),
            Err(_) => Ok(None),
        }
    }

    /// The descriptor, to be handed to a child.
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Makes `recv` and `send` fail with `WouldBlock` instead of waiting (for poll(2) or tokio's AsyncFd).
    pub fn set_nonblocking(&self) -> io::Result<()> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        fcntl(&self.0, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop).map_err(io::Error::from)
    }

    /// Master: sends an order. The listener's descriptor stays open here.
    pub fn order(&self, order: &Order) -> io::Result<()> {
        let (text, fd) = match order {
            Order::Listener(key, fd) => (format!("L{}\n{}", key.service, key.address), Some(fd.as_fd())),
            Order::Close(key) => (format!("C{}\n{}", key.service, key.address), None),
            Order::Configured { generation } => (format!("G{generation}"), None),
            Order::Prepare => ("N".to_owned(), None),
            Order::HandOver(fd) => ("H".to_owned(), Some(fd.as_fd())),
            Order::TakeOver(fd) => ("T".to_owned(), Some(fd.as_fd())),
            Order::Retire => ("R".to_owned(), None),
            Order::Stop => ("S".to_owned(), None),
            Order::Ping => ("W".to_owned(), None),
            Order::Opened { number, file: Ok(fd) } => (format!("P{number}"), Some(fd.as_fd())),
            Order::Opened { number, file: Err(errno) } => (format!("E{number}\n{errno}"), None),
        };
        self.send(&text, fd)
    }

    /// Master: sends a listener that it keeps.
    pub fn order_listener(&self, key: &ListenerKey, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.send(&format!("L{}\n{}", key.service, key.address), Some(fd))
    }

    /// Child: waits for the next order; `Ok(None)` when master is gone.
    pub fn next_order(&self) -> io::Result<Option<Order>> {
        let Some((text, fd)) = self.recv()? else { return Ok(None) };
        parse_order(&text, fd).map(Some)
    }

    /// Child: answers.
    pub fn reply(&self, reply: &Reply) -> io::Result<()> {
        match reply {
            Reply::Ready { generation } => self.send(&format!("R{generation}"), None),
            Reply::Failed { generation, reason } => {
                let reason: String = reason.chars().take(1000).collect();
                self.send(&format!("F{generation}\n{reason}"), None)
            }
            Reply::Renew { generation } => self.send(&format!("N{generation}"), None),
            Reply::Prepared { protocol } => self.send(&format!("Y{protocol}"), None),
            Reply::Pong => self.send("W", None),
            Reply::Open { number, path } => self.send(&format!("O{number}\n{path}"), None),
        }
    }

    /// Master: waits for the next reply; `Ok(None)` when the child is gone.
    pub fn next_reply(&self) -> io::Result<Option<Reply>> {
        let Some((text, _)) = self.recv()? else { return Ok(None) };
        parse_reply(&text).map(Some)
    }

    fn send(&self, text: &str, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        if text.len() > MAX {
            return Err(malformed());
        }
        loop {
            match fds::send_with_fd(self.as_fd(), text.as_bytes(), fd) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(drop),
            }
        }
    }

    fn recv(&self) -> io::Result<Option<(String, Option<OwnedFd>)>> {
        let mut buf = vec![0; MAX];
        let (n, fd) = loop {
            match fds::recv_with_fd(self.as_fd(), &mut buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                other => break other?,
            }
        };
        if n == 0 {
            return Ok(None);
        }
        buf.truncate(n);
        let text = String::from_utf8(buf).map_err(|_| malformed())?;
        Ok(Some((text, fd)))
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed message between master and its child")
}

fn parse_order(text: &str, fd: Option<OwnedFd>) -> io::Result<Order> {
    let key = |rest: &str| {
        let (service, address) = rest.split_once('\n')?;
        Some(ListenerKey { service: service.to_owned(), address: address.to_owned() })
    };
    let order = match (text.split_at_checked(1), fd) {
        (Some(("L", rest)), Some(fd)) => key(rest).map(|k| Order::Listener(k, fd)),
        (Some(("C", rest)), None) => key(rest).map(Order::Close),
        (Some(("G", n)), None) => n.parse().ok().map(|generation| Order::Configured { generation }),
        (Some(("N", "")), None) => Some(Order::Prepare),
        (Some(("H", "")), Some(fd)) => Some(Order::HandOver(fd)),
        (Some(("T", "")), Some(fd)) => Some(Order::TakeOver(fd)),
        (Some(("R", "")), None) => Some(Order::Retire),
        (Some(("S", "")), None) => Some(Order::Stop),
        (Some(("W", "")), None) => Some(Order::Ping),
        (Some(("P", n)), Some(fd)) => n.parse().ok().map(|number| Order::Opened { number, file: Ok(fd) }),
        (Some(("E", rest)), None) => rest.split_once('\n').and_then(|(n, errno)| {
            Some(Order::Opened { number: n.parse().ok()?, file: Err(errno.parse().ok()?) })
        }),
        _ => None,
    };
    order.ok_or_else(malformed)
}

fn parse_reply(text: &str) -> io::Result<Reply> {
    let reply = match text.split_at_checked(1) {
        Some(("W", "")) => Some(Reply::Pong),
        Some(("R", n)) => n.parse().ok().map(|generation| Reply::Ready { generation }),
        Some(("N", n)) => n.parse().ok().map(|generation| Reply::Renew { generation }),
        Some(("Y", n)) => n.parse().ok().map(|protocol| Reply::Prepared { protocol }),
        Some(("F", rest)) => rest.split_once('\n').and_then(|(n, reason)| {
            Some(Reply::Failed { generation: n.parse().ok()?, reason: reason.to_owned() })
        }),
        Some(("O", rest)) => rest
            .split_once('\n')
            .and_then(|(n, path)| Some(Reply::Open { number: n.parse().ok()?, path: path.to_owned() })),
        _ => None,
    };
    reply.ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn orders_arrive_in_order_with_their_sockets() {
        let (master, child) = Channel::pair().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let key = ListenerKey { service: "smtp/inet".into(), address: format!("127.0.0.1:{port}") };
        master.order(&Order::Listener(key.clone(), socket.into())).unwrap();
        master.order(&Order::Configured { generation: 1 }).unwrap();
        master.order(&Order::Close(key.clone())).unwrap();
        master.order(&Order::Ping).unwrap();
        master.order(&Order::Stop).unwrap();
        drop(master);

        let Some(Order::Listener(k, fd)) = child.next_order().unwrap() else { panic!("listener") };
        assert_eq!(k, key);
        assert_eq!(TcpListener::from(fd).local_addr().unwrap().port(), port);
        assert!(matches!(child.next_order().unwrap(), Some(Order::Configured { generation: 1 })));
        assert!(matches!(child.next_order().unwrap(), Some(Order::Close(k)) if k == key));
        assert!(matches!(child.next_order().unwrap(), Some(Order::Ping)));
        assert!(matches!(child.next_order().unwrap(), Some(Order::Stop)));
        assert!(child.next_order().unwrap().is_none(), "master is gone");
    }

    #[test]
    fn replies_round_trip() {
        let (master, child) = Channel::pair().unwrap();
        let failed =
            Reply::Failed { generation: 7, reason: "/etc/postfix/main.cf: line 3: bad\nline".into() };
        let open = Reply::Open { number: 3, path: "/etc/a b".into() };
        for reply in [
            Reply::Ready { generation: 1 },
            failed,
            open,
            Reply::Pong,
            Reply::Prepared { protocol: PROTOCOL },
            Reply::Renew { generation: 3 },
        ] {
            child.reply(&reply).unwrap();
            assert_eq!(master.next_reply().unwrap(), Some(reply));
        }
        drop(child);
        assert_eq!(master.next_reply().unwrap(), None);
    }

    #[test]
    fn files_arrive() {
        let (master, child) = Channel::pair().unwrap();
        let file = fds::memory_file(b"x").unwrap();
        master.order(&Order::Opened { number: 4, file: Ok(file.into()) }).unwrap();
        master.order(&Order::Opened { number: 5, file: Err(13) }).unwrap();
        assert!(matches!(child.next_order().unwrap(), Some(Order::Opened { number: 4, file: Ok(_) })));
        assert!(matches!(child.next_order().unwrap(), Some(Order::Opened { number: 5, file: Err(13) })));
    }

    #[test]
    fn the_orders_of_an_upgrade_arrive() {
        let (master, child) = Channel::pair().unwrap();
        let (a, b) = Channel::pair().unwrap();
        for order in
            [Order::Prepare, Order::HandOver(a.into_fd()), Order::TakeOver(b.into_fd()), Order::Retire]
        {
            master.order(&order).unwrap();
        }
        assert!(matches!(child.next_order().unwrap(), Some(Order::Prepare)));
        assert!(matches!(child.next_order().unwrap(), Some(Order::HandOver(_))));
        assert!(matches!(child.next_order().unwrap(), Some(Order::TakeOver(_))));
        assert!(matches!(child.next_order().unwrap(), Some(Order::Retire)));
    }

    #[test]
    fn junk_is_refused() {
        for junk in [
            "H",
            "T",
            "Rx",
            "N1",
            "P4",
            "E4",
            "E4\nx",
            "",
            "L",
            "Lx",
            "Gx",
            "S ",
            "Q",
            "Lsmtp/inet\n127.0.0.1:25",
            "\u{e9}",
        ] {
            assert!(parse_order(junk, None).is_err(), "{junk:?}");
        }
        for junk in ["O", "O1", "Ox\n/a", "", "R", "Wx", "F", "F1", "Fx\ny", "\u{e9}"] {
            assert!(parse_reply(junk).is_err(), "{junk:?}");
        }
    }
}
