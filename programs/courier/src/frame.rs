//! Reading and writing the frames of `base_calls::courier` and of the children, with a descriptor where there is one.
//!
//! Blocking. What has arrived is read with one system call, what comes after it stays for the next frame. Lengths are
//! checked before anything is allocated for them.

use base_calls::{
    Content,
    courier::{self, ContentPlace, MAX_INLINE},
};
use base_sys::fds;
use bytes::Bytes;
use std::{
    fs::File,
    io::{self, IoSlice, Read, Write},
    ops::Range,
    os::{fd::AsFd, unix::net::UnixStream},
    sync::Arc,
    time::Duration,
};

/// An error for bytes that are no frame.
pub fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed request")
}

/// So much is read at a time: a request or a report with a message of usual size comes with one system call.
const BUFFER: usize = 16 * 1024;

/// One end of a connection.
pub struct Frames {
    stream: UnixStream,
    buffer: Box<[u8]>,
    /// What of the buffer was received and not taken yet.
    held: Range<usize>,
    /// The descriptor that came last.
    file: Option<File>,
    /// For the rest of what has begun to arrive.
    rest_limit: Option<Duration>,
}

impl Frames {
    /// `rest_limit`: how long the rest of a frame that has begun may keep us waiting; `None` for the socket's own limit.
    pub fn new(stream: UnixStream, rest_limit: Option<Duration>) -> Self {
        Self { stream, buffer: vec![0; BUFFER].into(), held: 0..0, file: None, rest_limit }
    }

    /// The socket.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// The length of the next frame, however long it takes to come; `None` at the end of the stream.
    pub fn next_len(&mut self) -> io::Result<Option<usize>> {
        if self.held.is_empty() && !self.receive()? {
            return Ok(None);
        }
        let mut head = [0; 4];
        self.take(&mut head)?;
        courier::frame_len(head).map(Some).map_err(|_| malformed())
    }

    /// So many bytes.
    pub fn bytes(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.take(&mut bytes)?;
        Ok(bytes)
    }

    /// The content that a frame announced.
    pub fn content(&mut self, place: ContentPlace) -> io::Result<Content> {
        match (place, self.file.take()) {
            (ContentPlace::Inline { len }, None) if len <= MAX_INLINE => {
                let len = usize::try_from(len).map_err(|_| malformed())?;
                Ok(Content::Memory(Bytes::from(self.bytes(len)?)))
            }
            (ContentPlace::File { offset, len }, Some(file)) => {
                let meta = file.metadata()?;
                if !meta.is_file() || offset.checked_add(len).is_none_or(|end| end > meta.len()) {
                    return Err(malformed());
                }
                Ok(Content::File { file: Arc::new(file), offset, len })
            }
            _ => Err(malformed()),
        }
    }

    /// Sends a frame, then the content: after it, or as a descriptor with its first byte.
    pub fn send(&mut self, frame: &[u8], content: &Content) -> io::Result<()> {
        match content {
            Content::Memory(bytes) => self.send_parts([frame, bytes]),
            Content::File { file, .. } => {
                let sent = again(|| fds::send_with_fd(self.stream.as_fd(), frame, Some(file.as_fd())))?;
                self.stream.write_all(frame.get(sent..).unwrap_or_default())
            }
        }
    }

    fn send_parts(&mut self, parts: [&[u8]; 2]) -> io::Result<()> {
        let mut parts = parts.map(IoSlice::new);
        let mut left = &mut parts[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match again(|| self.stream.write_vectored(left))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => IoSlice::advance_slices(&mut left, n),
            }
        }
        Ok(())
    }

    /// Sends a whole frame.
    pub fn reply(&mut self, frame: &[u8]) -> io::Result<()> {
        self.stream.write_all(frame)
    }

    /// Fills the buffer, which is empty, with what is there; false at the end of the stream.
    fn receive(&mut self) -> io::Result<bool> {
        let got = again(|| fds::recv_with_fd(self.stream.as_fd(), &mut self.buffer));
        let (n, fd) = match got {
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
            other => other?,
        };
        self.held = 0..n;
        if let Some(fd) = fd {
            self.file = Some(File::from(fd));
        }
        Ok(n > 0)
    }

    fn take(&mut self, into: &mut [u8]) -> io::Result<()> {
        let held = self.buffer.get(self.held.clone()).unwrap_or_default();
        let n = held.len().min(into.len());
        let (now, later) = into.split_at_mut(n);
        now.copy_from_slice(held.get(..n).unwrap_or_default());
        self.held.start += n;
        if later.is_empty() { Ok(()) } else { self.wait_for(later) }
    }

    /// What the buffer did not hold.
    fn wait_for(&mut self, rest: &mut [u8]) -> io::Result<()> {
        let Some(limit) = self.rest_limit else { return self.stream.read_exact(rest) };
        self.stream.set_read_timeout(Some(limit))?;
        let done = self.stream.read_exact(rest);
        self.stream.set_read_timeout(None)?;
        done
    }
}

/// Does it until no signal interrupts it.
fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// How content travels.
pub fn place_of(content: &Content) -> ContentPlace {
    match content {
        Content::Memory(b) => ContentPlace::Inline { len: b.len() as u64 },
        Content::File { offset, len, .. } => ContentPlace::File { offset: *offset, len: *len },
    }
}

/// A body with its length in front.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&len.to_le_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Frames, Frames) {
        let (a, b) = UnixStream::pair().unwrap();
        (Frames::new(a, None), Frames::new(b, Some(Duration::from_secs(5))))
    }

    fn inline(len: usize) -> ContentPlace {
        ContentPlace::Inline { len: len as u64 }
    }

    /// What `send` sent, of any size, one after the other.
    #[test]
    fn frames_of_any_size_and_several_at_a_time() {
        let sizes = [0, 1, 100, BUFFER - 10, BUFFER, BUFFER + 1, 5 * BUFFER];
        let (mut a, mut b) = pair();
        let sender = std::thread::spawn(move || {
            for n in sizes {
                a.send(&framed(&vec![b'f'; n]), &Content::Memory(vec![b'c'; n].into())).unwrap();
            }
        });
        for n in sizes {
            assert_eq!(b.next_len().unwrap(), Some(n));
            assert_eq!(b.bytes(n).unwrap(), vec![b'f'; n]);
            assert_eq!(b.content(inline(n)).unwrap().chunk(0, n).unwrap(), vec![b'c'; n]);
        }
        sender.join().unwrap();
        assert_eq!(b.next_len().unwrap(), None);
    }

    #[test]
    fn a_file_stays_with_its_frame() {
        let (mut a, mut b) = pair();
        let file = Arc::new(fds::memory_file(b"content").unwrap());
        a.send(&framed(b"x"), &Content::File { file, offset: 3, len: 4 }).unwrap();
        a.send(&framed(b"y"), &Content::Memory(Bytes::from_static(b"in"))).unwrap();
        assert_eq!(b.next_len().unwrap(), Some(1));
        assert_eq!(b.bytes(1).unwrap(), b"x");
        let content = b.content(ContentPlace::File { offset: 3, len: 4 }).unwrap();
        assert_eq!(content.chunk(0, 100).unwrap(), "tent");
        assert_eq!(b.next_len().unwrap(), Some(1));
        assert_eq!(b.bytes(1).unwrap(), b"y");
        assert_eq!(b.content(inline(2)).unwrap().chunk(0, 9).unwrap(), "in");
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        let (mut a, mut b) = pair();
        a.reply(&[0xff; 4]).unwrap();
        assert!(b.next_len().is_err());
        let (mut a, mut b) = pair();
        a.send(&framed(b""), &Content::Memory(Bytes::new())).unwrap();
        assert_eq!(b.next_len().unwrap(), Some(0));
        assert!(b.content(ContentPlace::File { offset: 0, len: 0 }).is_err(), "no descriptor came");
        let (mut a, mut b) = pair();
        a.reply(&framed(b"abc")[..5]).unwrap();
        drop(a);
        assert_eq!(b.next_len().unwrap(), Some(3));
        assert!(b.bytes(3).is_err());
    }
}
