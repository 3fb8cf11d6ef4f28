//! Descriptors: passing them over Unix sockets (SCM_RIGHTS), memory files, close-on-exec.
//!
//! Used by [`crate::handoff`], and by the worker and the courier for message content: the worker sends a request's first
//! bytes together with the spool file's descriptor. Received descriptors are close-on-exec and never more than one
//! a message; surplus ones are closed.

use crate::explain;
use nix::{
    cmsg_space,
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
};
use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// Sends bytes, with a descriptor when there is one (it arrives with the first byte). Returns how many bytes went out;
/// the descriptor has gone with them. `WouldBlock` on a non-blocking socket that is full.
pub fn send_with_fd(socket: BorrowedFd<'_>, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let raw = fd.map(|f| [f.as_raw_fd()]);
    let rights = raw.as_ref().map(|r| [ControlMessage::ScmRights(r)]);
    let control = rights.as_ref().map_or(&[][..], |r| &r[..]);
    let sent =
        sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(sent)
}

/// Receives bytes and at most one descriptor. 0 bytes: the peer is gone.
pub fn recv_with_fd(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = cmsg_space!([RawFd; 4]);
    let mut parts = [IoSliceMut::new(buf)];
    let got = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut first = None;
    for message in got.cmsgs()? {
        if let ControlMessageOwned::ScmRights(list) = message {
            for raw in list {
                // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
                let fd = unsafe { OwnedFd::from_raw_fd(raw) };
                first.get_or_insert(fd);
            }
        }
    }
    Ok((got.bytes, first))
}

/// The user id of the process at the other end of a connected Unix socket.
pub fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let who = nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::PeerCredentials)?;
    Ok(who.uid())
}

/// A file in memory that holds `bytes`, for content that has no spool file and is too big to send inline.
pub fn memory_file(bytes: &[u8]) -> io::Result<File> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let fd = memfd_create(c"hikyaku", MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    Ok(file)
}

/// Sets or clears close-on-exec.
pub fn set_cloexec(fd: impl AsFd, on: bool) -> io::Result<()> {
    let flag = if on { FdFlag::FD_CLOEXEC } else { FdFlag::empty() };
    fcntl(fd, FcntlArg::F_SETFD(flag)).map(drop).map_err(|e| explain("close-on-exec", e))
}

/// Takes over a descriptor that was inherited under a number given in the environment or on the command line. It must
/// be open; it becomes close-on-exec. Call once for each number, at the start of main.
pub fn adopt(number: &str) -> io::Result<OwnedFd> {
    let bad = || io::Error::new(io::ErrorKind::InvalidInput, format!("bad descriptor number \"{number}\""));
    let raw: RawFd = number.parse().map_err(|_| bad())?;
    if raw < 3 {
        return Err(bad());
    }
    // SAFETY: F_GETFD only asks; it fails for a number that is not open.
    if unsafe { libc::fcntl(raw, libc::F_GETFD) } < 0 {
        return Err(explain(format_args!("descriptor {raw}"), io::Error::last_os_error()));
    }
    // SAFETY: open, and by the contract above owned by nobody else in this process.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    set_cloexec(&fd, true)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read, os::unix::net::UnixStream};

    #[test]
    fn a_descriptor_travels_with_its_bytes() {
        let (a, b) = UnixStream::pair().unwrap();
        let file = memory_file(b"content").unwrap();
        assert_eq!(send_with_fd(a.as_fd(), b"hello", Some(file.as_fd())).unwrap(), 5);
        drop(file);
        let mut buf = [0; 64];
        let (n, fd) = recv_with_fd(b.as_fd(), &mut buf).unwrap();
        assert_eq!(&buf[..n], b"hello");
        let mut text = String::new();
        let mut file = File::from(fd.expect("a descriptor"));
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        send_with_fd(a.as_fd(), b"x", None).unwrap();
        assert!(recv_with_fd(b.as_fd(), &mut buf).unwrap().1.is_none());
        drop(a);
        assert_eq!(recv_with_fd(b.as_fd(), &mut buf).unwrap().0, 0);
    }

    #[test]
    fn only_open_descriptors_are_adopted() {
        for bad in ["", "x", "-1", "0", "2", "99999"] {
            assert!(adopt(bad).is_err(), "{bad}");
        }
    }
}
