//! Starting children, waiting for them, sending and receiving signals.
//!
//! [`Launch`] starts a program with a clean signal mask, tied to its parent's life (PR_SET_PDEATHSIG), with chosen
//! descriptors open. [`Signals`] turns signals into a readable descriptor for poll(2) loops: no handler code anywhere.

use crate::explain;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, SigmaskHow, Signal, kill, pthread_sigmask},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
    time::Duration,
};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// exit(2) with this status.
    Status(i32),
    /// Killed by this signal number.
    Signal(i32),
}

impl Exit {
    /// Whether it ended well.
    pub fn is_success(self) -> bool {
        self == Self::Status(0)
    }
}

impl std::fmt::Display for Exit {
    /// `exit status 1`, `killed by signal 9`: as master(8) logs it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(n) => write!(f, "exit status {n}"),
            Self::Signal(n) => write!(f, "killed by signal {n}"),
        }
    }
}

impl From<std::process::ExitStatus> for Exit {
    fn from(s: std::process::ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        s.signal().map_or_else(|| Self::Status(s.code().unwrap_or(255)), Self::Signal)
    }
}

/// Collects one ended child without waiting: its pid and how it ended.
pub fn reap() -> io::Result<Option<(u32, Exit)>> {
    loop {
        return match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => Ok(Some((pid.as_raw().unsigned_abs(), Exit::Status(code)))),
            Ok(WaitStatus::Signaled(pid, sig, _)) => {
                Ok(Some((pid.as_raw().unsigned_abs(), Exit::Signal(sig as i32))))
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => Ok(None),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(e) => Err(explain("waitpid", e)),
        };
    }
}

/// The signals that programs of ours use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sig {
    /// SIGHUP: reload.
    Hup,
    /// SIGTERM: stop.
    Term,
    /// SIGINT: Ctrl-C.
    Int,
    /// SIGCHLD: a child ended.
    Chld,
    /// SIGKILL.
    Kill,
    /// SIGALRM, SIGQUIT and others by number.
    Other(i32),
}

impl Sig {
    fn from_number(n: i32) -> Self {
        match n {
            libc::SIGHUP => Self::Hup,
            libc::SIGTERM => Self::Term,
            libc::SIGINT => Self::Int,
            libc::SIGCHLD => Self::Chld,
            libc::SIGKILL => Self::Kill,
            n => Self::Other(n),
        }
    }

    /// Its number, for the log.
    pub fn number(self) -> i32 {
        match self {
            Self::Hup => libc::SIGHUP,
            Self::Term => libc::SIGTERM,
            Self::Int => libc::SIGINT,
            Self::Chld => libc::SIGCHLD,
            Self::Kill => libc::SIGKILL,
            Self::Other(n) => n,
        }
    }
}

/// Sends a signal. `Ok(false)`: there is no such process.
pub fn send_signal(pid: u32, sig: Sig) -> io::Result<bool> {
    let (pid, signal) = target(pid, sig)?;
    match kill(pid, signal) {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(e) => Err(explain(format_args!("signal process {pid}"), e)),
    }
}

/// Sends a signal to a process group (a command's children included).
pub fn signal_group(pgid: u32, sig: Sig) -> io::Result<bool> {
    let (pid, signal) = target(pgid, sig)?;
    match nix::sys::signal::killpg(pid, signal) {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(e) => Err(explain(format_args!("signal process group {pid}"), e)),
    }
}

fn target(pid: u32, sig: Sig) -> io::Result<(Pid, Signal)> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let pid = i32::try_from(pid).ok().filter(|&p| p > 1).ok_or_else(|| bad("bad process id"))?;
    let signal = Signal::try_from(sig.number()).map_err(|_| bad("bad signal number"))?;
    Ok((Pid::from_raw(pid), signal))
}

/// The monotonic clock in microseconds, as service managers count it; 0 when there is none.
pub fn monotonic_micros() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |t| u64::try_from(t.tv_sec() * 1_000_000 + t.tv_nsec() / 1000).unwrap_or(0))
}

/// Whether a process exists (it may belong to somebody else).
pub fn is_alive(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|p| p > 0 && !matches!(kill(Pid::from_raw(p), None), Err(Errno::ESRCH)))
}

/// Signals as a descriptor. Blocks them for the calling thread and all threads and children made later, so make it first
/// thing in main; [`Launch`] unblocks them in children.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Signals {
    /// Takes over SIGHUP, SIGTERM, SIGINT, SIGCHLD and SIGQUIT… as given.
    pub fn take(list: &[Sig]) -> io::Result<Self> {
        let mut set = SigSet::empty();
        for sig in list {
            set.add(Signal::try_from(sig.number())?);
        }
        set.thread_block().map_err(|e| explain("sigprocmask", e))?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(|e| explain("signalfd", e))?;
        Ok(Self(fd))
    }

    /// The next pending signal, without waiting.
    pub fn next_pending(&self) -> io::Result<Option<Sig>> {
        let info = self.0.read_signal().map_err(|e| explain("signalfd", e))?;
        Ok(info.map(|i| Sig::from_number(i.ssi_signo as i32)))
    }
}

/// Ignores SIGINT: Ctrl-C at the terminal goes to the whole process group, and master alone decides what it means.
pub fn ignore_interrupt() -> io::Result<()> {
    // SAFETY: SIG_IGN installs no handler, so nothing of ours runs in signal context.
    unsafe {
        nix::sys::signal::signal(nix::sys::signal::Signal::SIGINT, nix::sys::signal::SigHandler::SigIgn)
    }
    .map(drop)
    .map_err(io::Error::from)
}

/// Lets all signals through again in this thread: for programs that were started with some blocked.
pub fn unblock_signals() -> io::Result<()> {
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        .map_err(|e| explain("sigprocmask", e))
}

/// Whether there is something to read now, or the end.
pub fn is_readable(fd: BorrowedFd<'_>) -> bool {
    matches!(wait_readable(&[fd], Some(Duration::ZERO)).as_deref(), Ok([true]))
}

/// Waits until one of the descriptors is readable (or at its end), at most `limit`. The answer says which are.
pub fn wait_readable(fds: &[BorrowedFd<'_>], limit: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut list: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let limit = limit.map_or(PollTimeout::NONE, |d| {
        let millis = d.as_millis().saturating_add(u128::from(d.subsec_nanos() % 1_000_000 != 0));
        PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
    });
    match poll(&mut list, limit) {
        Ok(_) => Ok(list.iter().map(|p| p.any().unwrap_or(false)).collect()),
        Err(Errno::EINTR) => Ok(vec![false; fds.len()]),
        Err(e) => Err(explain("poll", e)),
    }
}

/// Dies with the parent (PR_SET_PDEATHSIG, SIGKILL or another). False when the parent `parent` is gone already.
pub fn die_with_parent(sig: Sig, parent: u32) -> io::Result<bool> {
    let signal = Signal::try_from(sig.number())?;
    nix::sys::prctl::set_pdeathsig(signal).map_err(|e| explain("PR_SET_PDEATHSIG", e))?;
    Ok(nix::unistd::getppid().as_raw().unsigned_abs() == parent)
}

/// A program to start.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    keep: Vec<OwnedFd>,
    tie: Option<Sig>,
    session: bool,
}

impl Launch {
    /// Starts building; the environment and standard descriptors are inherited unless changed.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self { command: Command::new(program), keep: Vec::new(), tie: None, session: false }
    }

    /// The command inside, for arguments, environment and standard descriptors.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Gives the child this descriptor, under the same number, which goes into the environment variable `name`.
    pub fn pass_fd(&mut self, name: &str, fd: OwnedFd) -> &mut Self {
        self.command.env(name, fd.as_raw_fd().to_string());
        self.keep.push(fd);
        self
    }

    /// The kernel sends the child this signal when the *thread* that starts it ends.
    pub fn tie_to_parent(&mut self, sig: Sig) -> &mut Self {
        self.tie = Some(sig);
        self
    }

    /// The child leads a session of its own.
    pub fn new_session(&mut self) -> &mut Self {
        self.session = true;
        self
    }

    /// Standard input, output and error from and to nowhere.
    pub fn silent(&mut self) -> &mut Self {
        self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self
    }

    /// Starts it. The passed descriptors are closed here.
    pub fn spawn(mut self) -> io::Result<Child> {
        let raw: Vec<i32> = self.keep.iter().map(AsRawFd::as_raw_fd).collect();
        let tie = self.tie.map(|s| s.number());
        let session = self.session;
        let parent = std::process::id();
        // SAFETY: the closure calls only async-signal-safe system calls and touches no heap of the parent beyond
        // reading `raw`, which was allocated before the fork.
        unsafe {
            self.command.pre_exec(move || prepare_child(&raw, tie, session, parent));
        }
        self.command.spawn()
    }
}

/// Runs between fork and exec: system calls only.
fn prepare_child(keep: &[i32], tie: Option<i32>, session: bool, parent: u32) -> io::Result<()> {
    // SAFETY: async-signal-safe system calls on plain values; `empty` is a valid signal set on this stack.
    unsafe {
        if session {
            libc::setsid();
        }
        if let Some(signal) = tie {
            if libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong) != 0 {
                return Err(io::Error::last_os_error());
            }
            if libc::getppid().unsigned_abs() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        for &fd in keep {
            if libc::fcntl(fd, libc::F_SETFD, 0) < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        let mut empty: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut empty);
        libc::pthread_sigmask(libc::SIG_SETMASK, &empty, std::ptr::null_mut());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_child_gets_its_descriptor_and_nothing_more() {
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let (extra, _keep) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut launch = Launch::new("/bin/sh");
        launch.command().args(["-c", "ls -l /proc/$$/fd >&$FD; echo done >&$FD"]);
        launch.pass_fd("FD", theirs.into()).silent();
        let status = launch.spawn().unwrap().wait().unwrap();
        assert!(status.success());
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("done\n"), "{text}");
        // By what it is, not by its number: the shell has descriptors of its own.
        let socket = std::fs::read_link(format!("/proc/self/fd/{}", extra.as_raw_fd())).unwrap();
        assert!(!text.contains(&*socket.to_string_lossy()), "{text}");
    }

    #[test]
    fn exits_are_named_as_master_names_them() {
        let sh = |script: &str| Exit::from(Command::new("/bin/sh").args(["-c", script]).status().unwrap());
        assert_eq!(sh("exit 75").to_string(), "exit status 75");
        assert_eq!(sh("kill -9 $$").to_string(), "killed by signal 9");
        assert!(sh("exit 0").is_success());
    }

    #[test]
    fn no_signal_for_everybody() {
        for pid in [0, 1, u32::MAX] {
            assert!(send_signal(pid, Sig::Term).is_err(), "{pid}");
        }
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(0));
    }
}
