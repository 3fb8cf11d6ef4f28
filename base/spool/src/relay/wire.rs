//! What the former owner of a spool and the present one say to each other, over one SOCK_SEQPACKET socket.
//!
//! A packet is small; what may be long (an envelope, content, changes, lists) goes with it as a file in memory. First the
//! heritage: one packet, and one more for each socket of processes that had handed over earlier. Then requests this way and
//! answers that way, each answer with the number of its request. Pure but for the descriptors.

use crate::SpoolError;
use base_calls::{
    QueueId, Timestamp,
    codec::{Malformed, put_uint, take_uint},
};
use base_sys::fds;
use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
};
use tokio::{io::Interest, net::UnixStream};

/// Longest packet.
pub(super) const PACKET: usize = 256;
/// Longest file that goes with one: an envelope with all the recipients that a message may have, and small content.
const BODY: u64 = 256 << 20;
/// Too many open files (errno(3)).
const EMFILE: i32 = 24;
/// What `recv_with_fd` says of a packet that lost its file.
const ENOBUFS: i32 = 105;

/// Of the former owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// A message: its envelope and small content in the file; of large content length and checksum.
    Commit { number: u64, id: QueueId, held: bool, large: Option<(u64, u32)> },
    /// Changes, in the file. Number 0: no answer is awaited.
    Change { number: u64, id: QueueId },
    /// A message is gone.
    Remove { id: QueueId },
    /// The delivery of a message that went on there is over.
    Ended { id: QueueId },
}

/// Of the present owner.
#[derive(Debug)]
pub(super) struct Answer {
    /// Of the request.
    pub(super) number: u64,
    /// How it went.
    pub(super) result: Result<(), SpoolError>,
    /// After a commit: a slot for another message.
    pub(super) slot: Option<u32>,
}

fn put_id(out: &mut Vec<u8>, id: QueueId) {
    [id.time.0, id.slot.into(), id.long.into()].into_iter().for_each(|n| put_uint(out, n));
}

fn take_id(from: &mut &[u8]) -> Result<QueueId, Malformed> {
    let time = Timestamp(take_uint(from)?);
    let slot = u32::try_from(take_uint(from)?).map_err(|_| Malformed)?;
    Ok(QueueId { time, slot, long: take_uint(from)? != 0 })
}

impl Request {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48);
        match *self {
            Self::Commit { number, id, held, large } => {
                out.push(b'C');
                put_uint(&mut out, number);
                put_id(&mut out, id);
                put_uint(&mut out, held.into());
                let (len, crc) = large.map_or((0, 0), |(len, crc)| (len.saturating_add(1), crc));
                put_uint(&mut out, len);
                put_uint(&mut out, crc.into());
            }
            Self::Change { number, id } => {
                out.push(b'X');
                put_uint(&mut out, number);
                put_id(&mut out, id);
            }
            Self::Remove { id } => {
                out.push(b'R');
                put_id(&mut out, id);
            }
            Self::Ended { id } => {
                out.push(b'E');
                put_id(&mut out, id);
            }
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut rest) = bytes.split_first().ok_or(Malformed)?;
        let from = &mut rest;
        let request = match kind {
            b'C' => {
                let (number, id, held) = (take_uint(from)?, take_id(from)?, take_uint(from)? != 0);
                let (len, crc) = (take_uint(from)?, u32::try_from(take_uint(from)?).map_err(|_| Malformed)?);
                Self::Commit { number, id, held, large: len.checked_sub(1).map(|len| (len, crc)) }
            }
            b'X' => Self::Change { number: take_uint(from)?, id: take_id(from)? },
            b'R' => Self::Remove { id: take_id(from)? },
            b'E' => Self::Ended { id: take_id(from)? },
            _ => return Err(Malformed),
        };
        // After a packet whose length is not known (`receive`) there are zeros.
        rest.iter().all(|b| *b == 0).then_some(request).ok_or(Malformed)
    }
}

impl Answer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        let (code, errno) = match &self.result {
            Ok(()) => (0, 0),
            Err(SpoolError::Full) => (1, 0),
            Err(SpoolError::NotFound) => (2, 0),
            Err(SpoolError::Io(e)) => (3, e.raw_os_error().unwrap_or(0)),
            Err(SpoolError::Closed | SpoolError::Locked | SpoolError::Corrupt(_)) => (4, 0),
        };
        let slot = self.slot.map_or(0, |s| u64::from(s) + 1);
        [self.number, code, u64::try_from(errno).unwrap_or(0), slot]
            .into_iter()
            .for_each(|n| put_uint(&mut out, n));
        out
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let from = &mut bytes;
        let (number, code, errno) = (take_uint(from)?, take_uint(from)?, take_uint(from)?);
        let slot = take_uint(from)?.checked_sub(1).map(u32::try_from).transpose().map_err(|_| Malformed)?;
        let result = match code {
            0 => Ok(()),
            1 => Err(SpoolError::Full),
            2 => Err(SpoolError::NotFound),
            3 => Err(SpoolError::Io(io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(0)))),
            _ => Err(SpoolError::Closed),
        };
        Ok(Self { number, result, slot })
    }
}

/// What one process has of the spool beyond what is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Holding {
    /// Slots of its drafts, and some for those to come.
    pub(super) slots: Vec<u32>,
    /// Messages that it is delivering.
    pub(super) leases: Vec<QueueId>,
}

/// The holdings of the former owner and of those before it.
pub(super) fn encode_holdings(all: &[Holding]) -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, all.len() as u64);
    for holding in all {
        put_uint(&mut out, holding.slots.len() as u64);
        holding.slots.iter().for_each(|s| put_uint(&mut out, (*s).into()));
        put_uint(&mut out, holding.leases.len() as u64);
        holding.leases.iter().for_each(|id| put_id(&mut out, *id));
    }
    out
}

pub(super) fn decode_holdings(mut bytes: &[u8]) -> Result<Vec<Holding>, Malformed> {
    let from = &mut bytes;
    let mut all = Vec::new();
    for _ in 0..take_uint(from)? {
        let mut holding = Holding::default();
        for _ in 0..take_uint(from)? {
            holding.slots.push(u32::try_from(take_uint(from)?).map_err(|_| Malformed)?);
        }
        for _ in 0..take_uint(from)? {
            holding.leases.push(take_id(from)?);
        }
        all.push(holding);
    }
    Ok(all)
}

/// A file in memory with these bytes.
pub(super) fn body(bytes: &[u8]) -> io::Result<OwnedFd> {
    fds::memory_file(bytes).map(Into::into)
}

/// The bytes that came with a packet. There are none when this process had too many files open to get them.
pub(super) fn read_body(fd: Option<OwnedFd>) -> io::Result<Vec<u8>> {
    let file = File::from(fd.ok_or_else(|| io::Error::from_raw_os_error(EMFILE))?);
    let len = file.metadata()?.len();
    let len = usize::try_from(len).ok().filter(|_| len <= BODY).ok_or(io::ErrorKind::InvalidData)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The socket, for tokio. Must run within a runtime with IO.
pub(super) fn stream(socket: OwnedFd) -> io::Result<UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// Sends a packet.
pub(super) async fn send(socket: &UnixStream, packet: &[u8], file: Option<&OwnedFd>) -> io::Result<()> {
    let send = || fds::send_with_fd(socket.as_fd(), packet, file.map(AsFd::as_fd));
    socket.async_io(Interest::WRITABLE, send).await.map(drop)
}

/// The next packet; `None` at the end.
pub(super) async fn next(socket: &UnixStream) -> io::Result<Option<Packet>> {
    socket.async_io(Interest::READABLE, || receive(socket)).await
}

/// Its bytes, and what came with them.
pub(super) type Packet = (Vec<u8>, Option<OwnedFd>);

/// One packet; `None` at the end. When this process has too many files open for what came with it, it is without that, and
/// zeros follow.
pub(super) fn receive(socket: impl AsFd) -> io::Result<Option<Packet>> {
    let mut packet = vec![0; PACKET];
    let (len, fd) = loop {
        match fds::recv_with_fd(socket.as_fd(), &mut packet) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(e) if e.raw_os_error() == Some(ENOBUFS) && packet.first() != Some(&0) => {
                break (PACKET, None);
            }
            other => break other?,
        }
    };
    packet.truncate(len);
    Ok((len > 0).then_some((packet, fd)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32) -> QueueId {
        QueueId { time: Timestamp(1_700_000_000_123_456), slot, long: slot % 2 == 1 }
    }

    #[test]
    fn requests_round_trip_and_fit() {
        let large = Some((u64::MAX - 1, u32::MAX));
        for request in [
            Request::Commit { number: 7, id: id(1), held: true, large: None },
            Request::Commit { number: u64::MAX, id: id(u32::MAX), held: false, large },
            Request::Commit { number: 0, id: id(2), held: false, large: Some((0, 0)) },
            Request::Change { number: 0, id: id(3) },
            Request::Remove { id: id(4) },
            Request::Ended { id: id(5) },
        ] {
            let bytes = request.encode();
            assert!(bytes.len() < PACKET);
            assert_eq!(Request::decode(&bytes).unwrap(), request);
            assert!((0..bytes.len()).all(|n| Request::decode(&bytes[..n]).is_err()), "{request:?}");
            let mut padded = bytes.clone();
            padded.resize(PACKET, 0);
            assert_eq!(Request::decode(&padded).unwrap(), request);
            assert!(Request::decode(&[&bytes[..], &[1]].concat()).is_err());
        }
    }

    #[test]
    fn answers_round_trip() {
        let full = io::Error::from_raw_os_error(5);
        for (result, slot) in [
            (Ok(()), Some(0)),
            (Ok(()), Some(u32::MAX)),
            (Err(SpoolError::Full), None),
            (Err(SpoolError::NotFound), Some(3)),
            (Err(SpoolError::Io(full)), None),
            (Err(SpoolError::Closed), None),
        ] {
            let sent = Answer { number: 9, result, slot };
            let got = Answer::decode(&sent.encode()).unwrap();
            assert_eq!(format!("{got:?}"), format!("{sent:?}"));
        }
        assert!(Answer::decode(b"").is_err());
    }

    #[test]
    fn holdings_round_trip() {
        let all = vec![
            Holding { slots: vec![0, 9, u32::MAX], leases: vec![id(1), id(2)] },
            Holding::default(),
            Holding { slots: Vec::new(), leases: vec![id(8)] },
        ];
        assert_eq!(decode_holdings(&encode_holdings(&all)).unwrap(), all);
        assert!(decode_holdings(&[9]).is_err());
    }
}
