//! Reading and writing the frames of `base_calls::courier` and of the children, with a descriptor where there is one.
//!
//! Blocking, with the socket's own time limits. Lengths are checked before anything is allocated for them.

use base_calls::{
    Content,
    courier::{self, ContentPlace, MAX_INLINE},
};
use base_sys::fds;
use bytes::Bytes;
use std::{
    fs::File,
    io::{self, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::Arc,
};

/// An error for bytes that are no frame.
pub fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed request")
}

/// A frame's length and the descriptor that came with it; `None` at the end of the stream.
pub fn read_head(stream: &mut UnixStream) -> io::Result<Option<(usize, Option<File>)>> {
    let mut head = [0; 4];
    let (n, fd) = loop {
        match fds::recv_with_fd(stream.as_fd(), &mut head) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            other => break other?,
        }
    };
    if n == 0 {
        return Ok(None);
    }
    let rest = head.get_mut(n..).ok_or_else(malformed)?;
    stream.read_exact(rest)?;
    let len = courier::frame_len(head).map_err(|_| malformed())?;
    Ok(Some((len, fd.map(File::from))))
}

/// So many bytes.
pub fn read_body(stream: &mut UnixStream, len: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// The content that a request announced.
pub fn read_content(stream: &mut UnixStream, place: ContentPlace, file: Option<File>) -> io::Result<Content> {
    match (place, file) {
        (ContentPlace::Inline { len }, None) if len <= MAX_INLINE => {
            let len = usize::try_from(len).map_err(|_| malformed())?;
            Ok(Content::Memory(Bytes::from(read_body(stream, len)?)))
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

/// How content travels.
pub fn place_of(content: &Content) -> ContentPlace {
    match content {
        Content::Memory(b) => ContentPlace::Inline { len: b.len() as u64 },
        Content::File { offset, len, .. } => ContentPlace::File { offset: *offset, len: *len },
    }
}

/// Sends a frame, then the content: after it, or as a descriptor with its first byte.
pub fn send(stream: &mut UnixStream, frame: &[u8], content: &Content) -> io::Result<()> {
    let file = match content {
        Content::File { file, .. } => Some(file.as_fd()),
        Content::Memory(_) => None,
    };
    let sent = loop {
        match fds::send_with_fd(stream.as_fd(), frame, file) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    stream.write_all(frame.get(sent..).unwrap_or_default())?;
    match content {
        Content::Memory(b) => stream.write_all(b),
        Content::File { .. } => Ok(()),
    }
}

/// A body with its length in front.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&len.to_le_bytes(), body].concat()
}
