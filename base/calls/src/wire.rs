//! Frames on the worker's unix sockets (`public/showq`, `private/control`): LEB128 length, then that many bytes.
//!
//! Pure: bytes in, frames out; the callers read and write. A frame longer than the limit is an error, never an
//! allocation. A stream that ends inside a frame was cut off.

use crate::codec::{Malformed, put_uint, take_uint};
use std::io::{self, Read};

/// Longest frame: an envelope with as many recipients as a message may have.
pub const MAX_FRAME: usize = 64 * 1024 * 1024;

/// Appends `payload` as one frame.
pub fn put_frame(out: &mut Vec<u8>, payload: &[u8]) {
    put_uint(out, payload.len() as u64);
    out.extend_from_slice(payload);
}

/// Takes one frame off the front of `input`; `None` while it is incomplete.
pub fn take_frame<'a>(input: &mut &'a [u8], max: usize) -> Result<Option<&'a [u8]>, Malformed> {
    let mut rest = *input;
    let len = match take_uint(&mut rest) {
        Ok(n) => usize::try_from(n).ok().filter(|&n| n <= max).ok_or(Malformed)?,
        Err(_) if input.len() < 10 => return Ok(None),
        Err(e) => return Err(e),
    };
    Ok(rest.split_at_checked(len).map(|(payload, after)| {
        *input = after;
        payload
    }))
}

/// Reads one frame; `None` at the end of the stream.
pub fn read_frame(from: &mut impl Read, max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(10);
    loop {
        let mut byte = [0];
        match from.read(&mut byte)? {
            0 if head.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => head.push(byte[0]),
        }
        if byte[0] & 0x80 == 0 || head.len() > 10 {
            break;
        }
    }
    let len = take_uint(&mut head.as_slice()).ok().and_then(|n| usize::try_from(n).ok());
    let len = len.filter(|&n| n <= max).ok_or(io::ErrorKind::InvalidData)?;
    let mut payload = Vec::new();
    if from.take(len as u64).read_to_end(&mut payload)? < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_at_every_byte() {
        let mut wire = Vec::new();
        for payload in [&b""[..], b"x", &[7; 300]] {
            put_frame(&mut wire, payload);
        }
        for cut in 0..=wire.len() {
            let mut input = &wire[..cut];
            let mut n = 0;
            while let Some(frame) = take_frame(&mut input, 300).unwrap() {
                assert_eq!(frame.len(), [0, 1, 300][n]);
                n += 1;
            }
            assert!(n < 3 || cut == wire.len());
            let mut stream = &wire[..cut];
            let mut m = 0;
            while let Ok(Some(frame)) = read_frame(&mut stream, 300) {
                assert_eq!(frame.len(), [0, 1, 300][m]);
                m += 1;
            }
            assert_eq!(n, m);
        }
    }

    #[test]
    fn too_long_is_refused() {
        let mut wire = Vec::new();
        put_frame(&mut wire, &[0; 200]);
        assert!(take_frame(&mut wire.as_slice(), 199).is_err());
        assert!(read_frame(&mut wire.as_slice(), 199).is_err());
        assert!(take_frame(&mut &[0xff; 11][..], 199).is_err());
        assert!(read_frame(&mut &[0xff; 11][..], 199).is_err());
    }
}
