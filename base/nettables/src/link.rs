//! A blocking connection to a table's server, with one time limit for a whole request and its reply.
//!
//! What was received stays in a buffer until the protocol's reader takes it; the buffer is bounded by the callers'
//! limits. A passed limit is `ErrorKind::TimedOut`, a server that hangs up `ErrorKind::UnexpectedEof`.

use socket2::Socket;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// Bytes that are read at once.
const CHUNK: usize = 4096;

/// The time by which something must be done.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimit(Instant);

impl TimeLimit {
    /// From now on.
    pub fn after(time: Duration) -> TimeLimit {
        TimeLimit(Instant::now() + time)
    }

    /// What is left; an error when nothing is.
    pub fn left(self) -> io::Result<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// Why a line could not be read.
#[derive(Debug)]
pub enum LineError {
    /// It is longer than the limit.
    TooLong,
    /// The connection failed.
    Io(io::Error),
}

/// A connection.
pub struct Link {
    socket: Socket,
    buffer: Vec<u8>,
    limit: TimeLimit,
    used: bool,
}

impl Link {
    /// Takes over a connected socket.
    pub fn new(socket: Socket, limit: TimeLimit) -> Link {
        Link { socket, buffer: Vec::new(), limit, used: false }
    }

    /// True when a reply has come over this connection: a server may then have closed it for being idle.
    pub fn is_used(&self) -> bool {
        self.used
    }

    /// Sends a request; it and its reply must be done within `limit`.
    pub fn send(&mut self, bytes: &[u8], limit: TimeLimit) -> io::Result<()> {
        self.limit = limit;
        self.buffer.clear();
        self.socket.set_write_timeout(Some(limit.left()?))?;
        (&self.socket).write_all(bytes)
    }

    /// What has been received and not been taken.
    pub fn received(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes `count` bytes.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        self.used = true;
        let rest = self.buffer.split_off(count.min(self.buffer.len()));
        std::mem::replace(&mut self.buffer, rest)
    }

    /// Waits for more bytes.
    pub fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0u8; CHUNK];
        loop {
            self.socket.set_read_timeout(Some(self.limit.left()?))?;
            match (&self.socket).read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => (),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
                Err(e) => return Err(e),
            }
        }
    }

    /// A line of at most `max` bytes, without its newline.
    pub fn line(&mut self, max: usize) -> Result<Vec<u8>, LineError> {
        loop {
            if let Some(end) = self.buffer.iter().take(max + 1).position(|b| *b == b'\n') {
                let mut line = self.take(end + 1);
                line.pop();
                return Ok(line);
            }
            if self.buffer.len() > max {
                return Err(LineError::TooLong);
            }
            self.fill().map_err(LineError::Io)?;
        }
    }

    /// Exactly `count` bytes.
    pub fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            self.fill()?;
        }
        Ok(self.take(count))
    }
}
