//! [`LineStream`]: buffered lines and bulk bytes over any stream, with time limits.
//!
//! Reading waits only when the buffer cannot answer, and sends what was queued for the peer before it waits: a batch
//! of pipelined commands gets its replies in one write. The read buffer exists only while it holds something: a
//! waiting connection keeps none, so ten thousand idle clients cost their tasks and little more.
//!
//! Errors: [`NetError::Closed`] at end of input (also within a line), [`NetError::TimedOut`] when the limit of
//! the operation or of the whole request has passed. After an error the stream is only good for closing.

use crate::{BoxIo, Io, NetError, Socket, timing::Timing};
use memchr::memchr;
use std::{
    future::poll_fn, io::IoSlice, mem::MaybeUninit, num::NonZeroU32, pin::Pin, task::Poll, time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    time::{Instant, timeout_at},
};

/// What one read of a quiet connection takes at most: on the stack, the heap buffer comes when there is input.
const FIRST_READ: usize = 8 * 1024;
/// Room for the first bulk read: most messages fit.
const SOME: usize = 16 * 1024;
/// Room for bulk reads when much comes.
const BULK: usize = 64 * 1024;
/// Output that is sent even if nobody waits.
const MUCH_OUTPUT: usize = 32 * 1024;
/// A write buffer above this is given back after sending.
const KEEP_OUTPUT: usize = 512;

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// CR LF.
    CrLf,
    /// LF alone.
    Lf,
    /// The length limit.
    Cut,
}

/// What becomes of the rest of a line over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// Read and thrown away up to the line end, before the line is returned.
    Skip,
    /// The next line starts with it.
    Keep,
}

/// A line without its end: LF and the CRs right before it are taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The text.
    pub bytes: &'a [u8],
    /// What ended it.
    pub ending: Ending,
}

/// Input was left in the buffer at a point where none may be (STARTTLS command injection).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes were sent early")]
pub struct NotEmpty(pub usize);

/// A buffered connection.
#[derive(Debug)]
pub struct LineStream<S = BoxIo> {
    io: S,
    input: Vec<u8>,
    at: usize,
    /// A line that was cut at its limit while the rest was skipped.
    cut: Vec<u8>,
    output: Vec<u8>,
    timing: Timing,
}

impl LineStream<BoxIo> {
    /// A stream over a socket, that may later change to TLS.
    pub fn of_socket(socket: Socket, limit: Duration) -> Self {
        Self::new(socket.boxed(), limit)
    }
}

impl<S: Io> LineStream<S> {
    /// A stream whose every read and write may take `limit`.
    pub fn new(io: S, limit: Duration) -> Self {
        Self { io, input: Vec::new(), at: 0, cut: Vec::new(), output: Vec::new(), timing: Timing::new(limit) }
    }

    /// Changes the limit of each following read or write.
    pub fn set_time_limit(&mut self, limit: Duration) {
        self.timing.set_limit(limit);
    }

    /// Until [`Self::end_request`] all reads and writes together may take the time limit
    /// (`smtpd_per_request_deadline`); with a minimum rate each byte moved earns time.
    pub fn begin_request(&mut self, min_rate: Option<NonZeroU32>) {
        self.timing.begin(Instant::now(), min_rate);
    }

    /// Back to a limit for each read and write.
    pub fn end_request(&mut self) {
        self.timing.end();
    }

    // Reading.

    /// Input that is here already.
    pub fn buffered(&self) -> &[u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// Whether more input is buffered, so that the reply to the present command can wait (pipelining).
    pub fn has_buffered(&self) -> bool {
        self.at < self.input.len()
    }

    /// Takes `n` buffered bytes off (at most all).
    pub fn consume(&mut self, n: usize) {
        self.at = self.at.saturating_add(n).min(self.input.len());
        if self.at == self.input.len() {
            self.input.clear();
            self.at = 0;
        }
    }

    /// The next line of at most `limit` bytes without its end. Sends queued output before waiting.
    pub async fn read_line(&mut self, limit: usize, excess: Excess) -> Result<Line<'_>, NetError> {
        let mut searched = 0;
        let (len, taken) = loop {
            let here = self.buffered();
            if let Some(i) = memchr(b'\n', here.get(searched..).unwrap_or_default()) {
                break (searched + i, searched + i + 1);
            }
            searched = here.len();
            // The limit, CR and LF must fit before the line is known to be too long.
            if searched > limit.saturating_add(1) {
                break (searched, searched);
            }
            self.fill_line().await?;
        };
        let text = trim_cr(self.buffered().get(..len).unwrap_or_default());
        if text.len() <= limit && taken > len {
            let (start, keep) = (self.at, text.len());
            let ending = if keep < len { Ending::CrLf } else { Ending::Lf };
            // The bytes stay in place until the next read.
            self.at += taken;
            let bytes = self.input.get(start..start + keep).unwrap_or_default();
            return Ok(Line { bytes, ending });
        }
        self.cut_line(limit, excess).await
    }

    async fn cut_line(&mut self, limit: usize, excess: Excess) -> Result<Line<'_>, NetError> {
        let here = self.input.get(self.at..).unwrap_or_default();
        self.cut.clear();
        self.cut.extend_from_slice(here.get(..limit).unwrap_or(here));
        self.consume(limit);
        if excess == Excess::Skip {
            self.skip_line().await?;
        }
        Ok(Line { bytes: &self.cut, ending: Ending::Cut })
    }

    async fn skip_line(&mut self) -> Result<(), NetError> {
        loop {
            if let Some(i) = memchr(b'\n', self.buffered()) {
                self.consume(i + 1);
                return Ok(());
            }
            self.consume(usize::MAX);
            self.fill_line().await?;
        }
    }

    /// Buffered input; when there is none, waits for some with a large buffer. For message content.
    pub async fn fill_buf(&mut self) -> Result<&[u8], NetError> {
        if !self.has_buffered() {
            self.fill_bulk().await?;
        }
        Ok(self.buffered())
    }

    /// Waits for more input than is buffered already, and returns how much came. The caller bounds what it lets
    /// gather.
    pub async fn fill_more(&mut self) -> Result<usize, NetError> {
        self.compact();
        let before = self.input.len();
        self.fill_bulk().await?;
        Ok(self.input.len() - before)
    }

    /// Takes in what has arrived already, without waiting, and tells whether anything is buffered now: a client
    /// that talks too early (postscreen(8), reject_unauth_pipelining). A closed connection counts as nothing.
    pub async fn arrived(&mut self) -> bool {
        if !self.has_buffered() {
            let (io, input) = (&mut self.io, &mut self.input);
            input.clear();
            self.at = 0;
            poll_fn(|cx| {
                let _ = poll_first(io, input, cx);
                Poll::Ready(())
            })
            .await;
        }
        self.has_buffered()
    }

    fn compact(&mut self) {
        if self.at > 0 {
            self.input.drain(..self.at);
            self.at = 0;
        }
    }

    /// Waits for input with no heap buffer of our own while there is none.
    async fn fill_line(&mut self) -> Result<(), NetError> {
        self.flush().await?;
        self.compact();
        let due = self.timing.due(Instant::now());
        let (io, input) = (&mut self.io, &mut self.input);
        let read = poll_fn(|cx| {
            let polled = poll_first(io, input, cx);
            if polled.is_pending() && input.is_empty() && input.capacity() > 0 {
                *input = Vec::new();
            }
            polled
        });
        let n = timeout_at(due, read).await.map_err(|_| NetError::TimedOut)??;
        self.received(n)
    }

    async fn fill_bulk(&mut self) -> Result<(), NetError> {
        self.flush().await?;
        self.compact();
        if self.input.capacity() - self.input.len() < SOME {
            self.input.reserve(SOME);
        }
        let due = self.timing.due(Instant::now());
        let read = self.io.read_buf(&mut self.input);
        let n = timeout_at(due, read).await.map_err(|_| NetError::TimedOut)??;
        // Who sends faster than we work gets more room, but not more and more.
        if self.input.len() == self.input.capacity() {
            self.input.reserve_exact(BULK.saturating_sub(self.input.len()));
        }
        self.received(n)
    }

    fn received(&mut self, n: usize) -> Result<(), NetError> {
        if n == 0 {
            return Err(NetError::Closed);
        }
        self.timing.moved(Instant::now(), n);
        Ok(())
    }

    // Writing.

    /// The queued output, to append to. It is sent by the next wait for input or by [`Self::flush`].
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Queues output; sends at once when much has gathered.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.output.extend_from_slice(bytes);
        if self.output.len() >= MUCH_OUTPUT { self.flush().await } else { Ok(()) }
    }

    /// Sends the queued output.
    pub async fn flush(&mut self) -> Result<(), NetError> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.send_with(&[]).await
    }

    /// Sends the queued output followed by `parts`, in as few system calls as the peer's window allows and without
    /// copying the parts.
    pub async fn send_with(&mut self, parts: &[&[u8]]) -> Result<(), NetError> {
        let output = std::mem::take(&mut self.output);
        let result = self.write_parts(&output, parts).await;
        if output.capacity() <= KEEP_OUTPUT {
            self.output = output;
            self.output.clear();
        }
        result
    }

    async fn write_parts(&mut self, first: &[u8], rest: &[&[u8]]) -> Result<(), NetError> {
        let mut slices: Vec<IoSlice<'_>> = std::iter::once(first)
            .chain(rest.iter().copied())
            .filter(|p| !p.is_empty())
            .map(IoSlice::new)
            .collect();
        let mut left: &mut [IoSlice<'_>] = &mut slices;
        while !left.is_empty() {
            let due = self.timing.due(Instant::now());
            let n = timeout_at(due, self.io.write_vectored(left)).await.map_err(|_| NetError::TimedOut)??;
            if n == 0 {
                return Err(NetError::Closed);
            }
            self.timing.moved(Instant::now(), n);
            IoSlice::advance_slices(&mut left, n);
        }
        let due = self.timing.due(Instant::now());
        timeout_at(due, self.io.flush()).await.map_err(|_| NetError::TimedOut)??;
        Ok(())
    }

    /// Sends what is queued and closes our side.
    pub async fn close(mut self) -> Result<(), NetError> {
        self.flush().await?;
        let due = self.timing.due(Instant::now());
        timeout_at(due, self.io.shutdown()).await.map_err(|_| NetError::TimedOut)??;
        Ok(())
    }

    // The stream below.

    /// The stream below, for questions about it.
    pub fn get_ref(&self) -> &S {
        &self.io
    }

    /// Takes the stream out, for STARTTLS. Refused while input is buffered (it was sent before the handshake, RFC
    /// 3207 4.2): the caller drops such a client, or discards the input knowingly with [`Self::consume`].
    pub fn into_inner(self) -> Result<S, NotEmpty> {
        match self.buffered().len() {
            0 => Ok(self.io),
            n => Err(NotEmpty(n)),
        }
    }

    /// Puts another stream in the place of this one (the TLS session over it). Buffered input is refused.
    pub fn replace(&mut self, change: impl FnOnce(&mut S)) -> Result<(), NotEmpty> {
        match self.buffered().len() {
            0 => {
                change(&mut self.io);
                Ok(())
            }
            n => Err(NotEmpty(n)),
        }
    }
}

fn trim_cr(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|&b| b != b'\r').map_or(0, |i| i + 1);
    line.get(..end).unwrap_or_default()
}

/// One read through a buffer on the stack, appended to `input`.
fn poll_first<S: AsyncRead + Unpin>(
    io: &mut S,
    input: &mut Vec<u8>,
    cx: &mut std::task::Context<'_>,
) -> Poll<std::io::Result<usize>> {
    let mut stack = [const { MaybeUninit::uninit() }; FIRST_READ];
    let mut buf = ReadBuf::uninit(&mut stack);
    match Pin::new(io).poll_read(cx, &mut buf) {
        Poll::Ready(Ok(())) => {
            input.extend_from_slice(buf.filled());
            Poll::Ready(Ok(buf.filled().len()))
        }
        Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
        Poll::Pending => Poll::Pending,
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
