//! The process that answers for tables behind servers (`alias_maps = mysql:…`), since the courier speaks to none.
//!
//! It is the worker's executable in a role of its own, run as `mail_owner` with nothing but a socket to this process.

use base_sys::process::{Launch, Sig, send_signal};
use base_tables::elsewhere::{Elsewhere, Started};
use std::{
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::Duration,
};

/// The executable, beside our own, and how it is told its role.
const PROGRAM: &str = "hikyaku-worker";
const ARGUMENT: &str = "lookups";
const ENV: &str = "HIKYAKU_LOOKUPS";
/// How long it may take to end when its socket has closed, in steps.
const STEPS: u32 = 100;
const STEP: Duration = Duration::from_millis(10);

/// Tables of that process; it is started with the first lookup.
pub fn elsewhere(dir: &Path) -> Elsewhere {
    let dir = dir.to_owned();
    Elsewhere::new(Box::new(move || start(&dir)))
}

fn start(dir: &Path) -> io::Result<Started> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut launch = Launch::new(program()?);
    launch.command().arg(ARGUMENT).arg("-c").arg(dir).current_dir("/");
    // Not tied to its parent: that would be the thread that starts it. The end of the socket is its end.
    launch.pass_fd(ENV, theirs.into()).silent().new_session();
    let process = launch.spawn()?;
    Ok((ours, Box::new(Process(process))))
}

fn program() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(PROGRAM))
}

/// Ends with its socket, or is ended.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        for _ in 0..STEPS {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(STEP);
        }
        let _ = send_signal(self.0.id(), Sig::Kill);
        let _ = self.0.wait();
    }
}
