//! `master -w`: the real master starts in the background, this process waits for its word and tells it on.
//!
//! The word comes over a socket that the background process inherits: `ok`, or the reason of the failure. End of file
//! without a word means that it died.

use anyhow::{Context, Result};
use base_sys::{daemon, fds, process::Launch};
use std::{
    cell::RefCell,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::{ExitCode, Stdio},
    time::Duration,
};

const ENV: &str = "HIKYAKU_START_FD";

/// Longest wait for the server to be ready.
const LIMIT: Duration = Duration::from_secs(60);

/// Starts master in the background and waits for its word.
pub fn and_wait(dir: &Path, verbose: u32) -> Result<ExitCode> {
    let (mut ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(LIMIT))?;
    let own = std::env::current_exe().context("cannot find my own executable")?;
    let mut launch = Launch::new(own);
    launch.command().arg("-c").arg(dir).args((0..verbose).map(|_| "-v"));
    launch.command().stdin(Stdio::null());
    launch.pass_fd(ENV, theirs.into()).new_session();
    let mut child = launch.spawn().context("cannot start the background process")?;
    let mut word = String::new();
    let _ = ours.read_to_string(&mut word);
    match word.as_str() {
        "ok" => Ok(ExitCode::SUCCESS),
        "" => {
            let ended = child.try_wait().ok().flatten();
            let how = ended.map_or_else(|| "is not ready in time".to_owned(), |s| s.to_string());
            eprintln!("postfix/postfix-script: fatal: mail system startup failed: master {how}");
            Ok(ExitCode::FAILURE)
        }
        // The background process has printed the reason itself.
        _ => Ok(ExitCode::FAILURE),
    }
}

/// Where the word goes; nowhere when nobody waits.
#[derive(Debug)]
pub struct Report(RefCell<Option<UnixStream>>);

impl Report {
    /// The socket that `and_wait` passed on.
    pub fn inherited() -> Result<Self> {
        let stream = match std::env::var(ENV) {
            Ok(number) => Some(UnixStream::from(fds::adopt(&number)?)),
            Err(_) => None,
        };
        Ok(Self(RefCell::new(stream)))
    }

    /// Whether somebody waits, that is, whether this is the background process.
    pub fn is_awaited(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// The server is up. Leaves the terminal when somebody was waiting.
    pub fn ready(&self) {
        if let Some(mut stream) = self.0.borrow_mut().take() {
            let _ = daemon::detach();
            let _ = stream.write_all(b"ok");
        }
    }

    /// The server is not coming up.
    pub fn failed(&self, reason: &str) {
        if let Some(mut stream) = self.0.borrow_mut().take() {
            let _ = stream.write_all(format!("fatal: {reason}").as_bytes());
        }
    }
}
