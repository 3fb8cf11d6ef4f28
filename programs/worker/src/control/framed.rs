//! Frames of [`base_calls::wire`] over a unix socket, with limits on size and time.

use base_calls::wire::{put_frame, take_frame};
use std::{io, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// How long a client may take to send a request.
const REQUEST_TIME: Duration = Duration::from_secs(100);
/// How long a client may take to read a part of the answer (`mailq | less`); `daemon_timeout` of Postfix.
const REPLY_TIME: Duration = Duration::from_secs(18_000);
/// Bytes gathered before a write.
const BATCH: usize = 32 * 1024;

/// One client.
pub struct Framed {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    max: usize,
}

impl Framed {
    /// A client whose requests are at most `max` bytes.
    pub fn new(stream: UnixStream, max: usize) -> Self {
        Self { stream, input: Vec::new(), output: Vec::new(), max }
    }

    /// The next request; `None` at the end of the stream.
    pub async fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        tokio::time::timeout(REQUEST_TIME, self.read_frame()).await?
    }

    async fn read_frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let mut rest = self.input.as_slice();
            let frame =
                take_frame(&mut rest, self.max).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            if let Some(frame) = frame {
                let frame = frame.to_vec();
                self.input.drain(..self.input.len() - rest.len());
                return Ok(Some(frame));
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await? {
                0 if self.input.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.input.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            }
        }
    }

    /// Sends one frame; it may wait for [`Framed::flush`].
    pub async fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        put_frame(&mut self.output, payload);
        self.written().await
    }

    /// Sends bytes that are frames already.
    pub async fn write_frames(&mut self, frames: &[u8]) -> io::Result<()> {
        self.output.extend_from_slice(frames);
        self.written().await
    }

    async fn written(&mut self) -> io::Result<()> {
        if self.output.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    /// Sends what waits.
    pub async fn flush(&mut self) -> io::Result<()> {
        tokio::time::timeout(REPLY_TIME, self.stream.write_all(&self.output)).await??;
        self.output.clear();
        Ok(())
    }
}
