//! Asking the running worker over `private/control`: the client side of `base_calls::control`.
//!
//! A server that is not there is no error: the caller then opens the queue itself. One that stops answering is.

use crate::console::Fatal;
use base_calls::{
    control::{ControlReply, ControlRequest},
    wire::{MAX_FRAME, put_frame, read_frame},
};
use std::{
    io::{BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// How long the worker may be silent.
const PATIENCE: Duration = Duration::from_secs(600);

/// A connection to the worker.
pub struct Control {
    stream: BufReader<UnixStream>,
}

impl Control {
    /// Connects; `None` when no server runs.
    pub fn connect(queue_directory: &Path) -> Result<Option<Self>, Fatal> {
        let path = queue_directory.join("private/control");
        let stream = match UnixStream::connect(&path) {
            Ok(stream) => stream,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(e) => {
                return Err(Fatal::new(format!(
                    "connect to {}: {}",
                    path.display(),
                    base_sys::system_text(&e)
                )));
            }
        };
        let limits = stream.set_read_timeout(Some(PATIENCE)).and(stream.set_write_timeout(Some(PATIENCE)));
        limits.map_err(|e| broken(&e))?;
        Ok(Some(Self { stream: BufReader::new(stream) }))
    }

    /// Sends a request and calls `each` for every reply before the end.
    pub fn ask(
        &mut self,
        request: &ControlRequest,
        mut each: impl FnMut(ControlReply) -> Result<(), Fatal>,
    ) -> Result<(), Fatal> {
        let mut frame = Vec::new();
        put_frame(&mut frame, &request.encode());
        self.stream.get_mut().write_all(&frame).map_err(|e| broken(&e))?;
        loop {
            let payload = read_frame(&mut self.stream, MAX_FRAME).map_err(|e| broken(&e))?;
            let payload = payload.ok_or_else(|| broken(&"connection closed"))?;
            match ControlReply::decode(&payload).map_err(|e| broken(&e))? {
                ControlReply::End => return Ok(()),
                ControlReply::Error(why) => return Err(Fatal::new(why)),
                reply => each(reply)?,
            }
        }
    }
}

fn broken(e: &dyn std::fmt::Display) -> Fatal {
    Fatal::new(format!("private/control: {e}"))
}
