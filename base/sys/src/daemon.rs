//! Going to the background: the child half of `postfix start` (setsid(2), standard descriptors on /dev/null).
//!
//! The program is started again by [`crate::process::Launch`], never forked while it has threads; the new process calls
//! [`detach`] when it no longer needs its terminal.

use crate::explain;
use std::{fs::OpenOptions, io, os::fd::AsFd};

/// Leaves the session and terminal of the caller. An error of setsid(2) because the process already leads a group
/// is no error here.
pub fn new_session() -> io::Result<()> {
    match nix::unistd::setsid() {
        Ok(_) | Err(nix::errno::Errno::EPERM) => Ok(()),
        Err(e) => Err(explain("setsid", e)),
    }
}

/// Points standard input, output and error at /dev/null.
pub fn close_standard() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(null.as_fd())?;
    nix::unistd::dup2_stdout(null.as_fd())?;
    nix::unistd::dup2_stderr(null.as_fd())?;
    Ok(())
}

/// A new session, no terminal, working directory as it is.
pub fn detach() -> io::Result<()> {
    new_session()?;
    close_standard()
}

/// Makes sure that descriptors 0, 1 and 2 are open, so that no file of ours is taken for them. First thing in main of
/// every program that may be called by a stranger (setgid programs, daemons).
pub fn secure_standard() -> io::Result<()> {
    for _ in 0..3 {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let raw = std::os::fd::AsRawFd::as_raw_fd(&null);
        if raw > 2 {
            return Ok(());
        }
        let _ = std::os::fd::IntoRawFd::into_raw_fd(null);
    }
    Ok(())
}
