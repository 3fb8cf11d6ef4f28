//! Reading the queue as a list: from the server while one runs, else from the disk.
//!
//! For tools that choose among messages. Nothing is changed.

use crate::{console::Fatal, showq};
use base_calls::listing::ListedMessage;
use base_calls::wire::{MAX_FRAME, read_frame};
use std::io::{BufReader, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(600);

/// Calls `visit` for every message of the queue.
pub fn each(queue_directory: &Path, mut visit: impl FnMut(ListedMessage)) -> Result<(), Fatal> {
    let path = queue_directory.join("public/showq");
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return showq::each(queue_directory, |message| {
                visit(message);
                Ok(())
            })
            .map_err(Fatal::new);
        }
        Err(e) => {
            return Err(Fatal::new(format!("connect to {}: {}", path.display(), base_sys::system_text(&e))));
        }
    };
    stream.set_read_timeout(Some(PATIENCE)).map_err(Fatal::new)?;
    let mut from = BufReader::new(stream);
    let broken = || Fatal::new("the listing of the queue broke off");
    loop {
        let frame = read_frame(&mut from, MAX_FRAME).map_err(|_| broken())?.ok_or_else(broken)?;
        match ListedMessage::decode(&frame).map_err(|_| broken())? {
            Some(message) => visit(message),
            None => return Ok(()),
        }
    }
}
