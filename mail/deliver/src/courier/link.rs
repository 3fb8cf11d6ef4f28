//! Connections to programs/courier: one request at a time on each, idle ones kept.
//!
//! A connection that fails is dropped; a request is never sent twice, since the courier may have acted on it.

use base_calls::{
    Content,
    codec::Malformed,
    courier::{ContentPlace, CourierAnswer, CourierRequest, MAX_INLINE, frame_len},
};
use base_net::os_text;
use base_sys::fds;
use std::{
    fs::File,
    io::{self, IoSlice},
    os::fd::AsFd,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::UnixStream,
    time::timeout,
};

/// Most idle connections.
const MAX_IDLE: usize = 32;
/// Time to connect.
const CONNECT: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("{}", os_text(.0))]
    Io(#[from] io::Error),
    #[error("malformed request or answer")]
    Malformed,
}

impl From<Malformed> for NoAnswer {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The way to the courier.
pub(crate) struct Link {
    path: PathBuf,
    idle: Mutex<Vec<UnixStream>>,
}

impl Link {
    pub fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default() }
    }

    /// Sends a request with its content, and waits for the answer.
    pub async fn ask(
        &self,
        mut request: CourierRequest,
        content: &Content,
        limit: Duration,
    ) -> Result<CourierAnswer, NoAnswer> {
        let (inline, file) = place(&mut request, content)?;
        let frame = request.to_frame()?;
        let mut stream = self.connection().await?;
        let exchange = async {
            send(&mut stream, &frame, &inline, file.as_deref()).await?;
            receive(&mut stream).await
        };
        let answer =
            timeout(limit, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.keep(stream);
        Ok(CourierAnswer::parse(&answer)?)
    }

    async fn connection(&self) -> io::Result<UnixStream> {
        while let Some(stream) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            // The courier says nothing unasked: anything but silence means that it has gone.
            let mut byte = [0];
            if matches!(stream.try_read(&mut byte), Err(e) if e.kind() == io::ErrorKind::WouldBlock) {
                return Ok(stream);
            }
        }
        timeout(CONNECT, UnixStream::connect(&self.path)).await?
    }

    fn keep(&self, stream: UnixStream) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(stream);
        }
    }
}

/// Decides how the content travels: with the request, or as a file.
fn place(request: &mut CourierRequest, content: &Content) -> io::Result<(bytes::Bytes, Option<Arc<File>>)> {
    let len = content.len();
    match content {
        Content::Memory(bytes) if len <= MAX_INLINE => {
            request.content = ContentPlace::Inline { len };
            Ok((bytes.clone(), None))
        }
        Content::Memory(bytes) => {
            request.content = ContentPlace::File { offset: 0, len };
            Ok((bytes::Bytes::new(), Some(Arc::new(fds::memory_file(bytes)?))))
        }
        Content::File { file, offset, len } => {
            request.content = ContentPlace::File { offset: *offset, len: *len };
            Ok((bytes::Bytes::new(), Some(file.clone())))
        }
    }
}

async fn send(stream: &mut UnixStream, frame: &[u8], inline: &[u8], file: Option<&File>) -> io::Result<()> {
    let sent = match file {
        Some(file) => {
            stream
                .async_io(Interest::WRITABLE, || fds::send_with_fd(stream.as_fd(), frame, Some(file.as_fd())))
                .await?
        }
        None => 0,
    };
    let mut parts = [IoSlice::new(frame.get(sent..).unwrap_or_default()), IoSlice::new(inline)];
    let mut left = &mut parts[..];
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match stream.write_vectored(left).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => IoSlice::advance_slices(&mut left, n),
        }
    }
    Ok(())
}

/// The answer without its length. Usually with one read, which leaves the socket known to be empty, so that the next
/// look at it in [`Link::connection`] asks nobody.
async fn receive(stream: &mut UnixStream) -> Result<Vec<u8>, NoAnswer> {
    let mut answer = Vec::with_capacity(4096);
    let body = loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if let Some((head, body)) = answer.split_first_chunk::<4>()
            && body.len() >= frame_len(*head)?
        {
            break frame_len(*head)?;
        }
    };
    // Nothing was asked that more could be the answer to.
    if answer.len() != body + 4 {
        return Err(NoAnswer::Malformed);
    }
    answer.drain(..4);
    Ok(answer)
}
