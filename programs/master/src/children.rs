//! Worker and courier: starting them, what they were told, and when to start them again (the back-off is pure).
//!
//! A child that was ready and dies is started again at once, unless it does so all the time; one that never got ready
//! waits longer each time, as master(8) throttles. Orders that cannot be delivered end the child: its successor gets
//! the whole state. [`crate::renewal`] replaces one that runs by one that was installed over it.

use crate::{
    endpoints::{Endpoint, Server},
    renewal::Next,
    settings::Settings,
    sockets::Sockets,
};
use anyhow::{Context, Result};
use base_sys::{
    handoff::{Channel, ENV, ENV_CONFIG, Order, Reply},
    process::{self, Launch, Sig},
};
use std::{
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// EACCES: a file that is not to be opened for others.
const REFUSED: i32 = 13;
/// The longest pause between two starts.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// A child that lived this long makes earlier failures forgotten.
const HEALTHY: Duration = Duration::from_secs(60);
/// So many quick deaths of a ready child are answered at once.
const QUICK: u32 = 5;

/// How long to wait before the next start.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A child ended after `lived`; `ready`: it had come up.
    pub fn ended(&mut self, lived: Duration, ready: bool) -> Duration {
        if lived >= HEALTHY {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let free = if ready { QUICK } else { 0 };
        match self.failures.saturating_sub(free) {
            0 => Duration::ZERO,
            n => Duration::from_secs(1 << n.saturating_sub(1).min(6)).min(MAX_PAUSE),
        }
    }
}

/// A running child.
#[derive(Debug)]
pub struct Running {
    /// Process id.
    pub pid: u32,
    /// Our end of its socket.
    pub channel: Channel,
    /// It has answered `Ready`.
    pub ready: bool,
    /// The last generation that it has answered.
    answered: u32,
    /// It was asked whether it is there, and has not said so.
    pinged: bool,
    started: Instant,
    /// The file that it was started from.
    pub(crate) program: Option<ProgramFile>,
}

/// Tells an executable from one that was installed over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramFile(u64, u64, i64, i64, u64);

impl ProgramFile {
    /// What is there now; `None`: nothing, as in the middle of an installation.
    pub fn at(path: &Path) -> Option<Self> {
        let m = std::fs::metadata(path).ok().filter(|m| m.len() > 0)?;
        Some(Self(m.dev(), m.ino(), m.mtime(), m.mtime_nsec(), m.len()))
    }
}

/// Worker or courier.
#[derive(Debug)]
pub struct Slot {
    /// Which.
    pub server: Server,
    /// The process, while there is one.
    pub running: Option<Running>,
    /// The one that is to replace it.
    pub next: Option<Next>,
    /// Those that were replaced and finish what they have, oldest first.
    pub elders: Vec<Running>,
    /// To be replaced once more, when the one that is under way has come to its end.
    pub(crate) again: bool,
    /// In the background: it must not keep the terminal (or a pipe) of `postfix start`.
    quiet: bool,
    backoff: Backoff,
    start_at: Option<Instant>,
}

/// How a child ended, for the log.
#[derive(Debug)]
pub enum Ended {
    /// The one in charge.
    InCharge {
        /// It never got ready.
        never_ready: bool,
        /// Until the next start.
        pause: Duration,
    },
    /// Its successor is in charge.
    Replaced,
    /// One that was to replace it.
    Next,
    /// One that had been replaced.
    Elder,
}

/// The executable of a child.
pub fn program(settings: &Settings, server: Server) -> PathBuf {
    settings.program(match server {
        Server::Worker => "hikyaku-worker",
        Server::Courier => "hikyaku-courier",
    })
}

impl Slot {
    /// One that is to be started now.
    pub fn new(server: Server, quiet: bool, now: Instant) -> Self {
        Self {
            server,
            running: None,
            next: None,
            elders: Vec::new(),
            again: false,
            quiet,
            backoff: Backoff::default(),
            start_at: Some(now),
        }
    }

    /// When it is to be started, if it does not run.
    pub fn due(&self) -> Option<Instant> {
        if self.running.is_some() || self.next.is_some() { None } else { self.start_at }
    }

    /// Starts it and tells it everything.
    pub fn start(
        &mut self,
        settings: &Settings,
        sockets: &Sockets,
        generation: u32,
        now: Instant,
    ) -> Result<()> {
        self.start_at = None;
        match self.launch(settings, now) {
            Ok(running) => {
                running.tell_all(self.server, sockets, generation);
                self.running = Some(running);
                Ok(())
            }
            Err(e) => {
                self.start_at = Some(now + self.backoff.ended(Duration::ZERO, false));
                Err(e)
            }
        }
    }

    pub(crate) fn launch(&self, settings: &Settings, now: Instant) -> Result<Running> {
        let path = program(settings, self.server);
        let file = ProgramFile::at(&path);
        let (channel, theirs) = Channel::pair()?;
        let mut launch = Launch::new(&path);
        launch.command().arg("-c").arg(&settings.dir).stdin(std::process::Stdio::null());
        launch.command().env_clear().envs(kept_environment()).env(ENV_CONFIG, &settings.dir);
        if self.quiet {
            launch.silent();
        }
        launch.pass_fd(ENV, theirs.into_fd()).tie_to_parent(Sig::Term);
        let child = launch.spawn().with_context(|| format!("cannot start {}", path.display()))?;
        Ok(Running {
            pid: child.id(),
            channel,
            ready: false,
            answered: 0,
            pinged: false,
            started: now,
            program: file,
        })
    }

    /// After a reload: what was opened and closed, then the new generation.
    pub fn tell_change(&self, sockets: &Sockets, opened: &[Endpoint], closed: &[Endpoint], generation: u32) {
        let next = self.next.as_ref().filter(|n| n.is_ordered()).map(|n| &n.process);
        for process in self.running.iter().chain(next) {
            for endpoint in closed.iter().filter(|e| e.server == self.server) {
                process.tell(|channel| channel.order(&Order::Close(endpoint.key.clone())));
            }
            for endpoint in opened.iter().filter(|e| e.server == self.server) {
                if let Some(fd) = sockets.get(endpoint) {
                    process.tell(|channel| channel.order_listener(&endpoint.key, fd.as_fd()));
                }
            }
            process.tell(|channel| channel.order(&Order::Configured { generation }));
        }
        // They open the log again.
        for elder in &self.elders {
            elder.tell(|channel| channel.order(&Order::Configured { generation }));
        }
    }

    /// All its processes: the one in charge first.
    pub fn processes(&self) -> impl Iterator<Item = &Running> {
        self.running.iter().chain(self.next.as_ref().map(|n| &n.process)).chain(&self.elders)
    }

    /// Asks whether it is there, unless it was asked already.
    pub fn ping(&mut self) {
        for running in self.running.iter_mut().filter(|r| r.ready && !r.pinged) {
            running.tell(|channel| channel.order(&Order::Ping));
            running.pinged = true;
        }
    }

    /// Not one that was asked whether it is there and says nothing.
    pub fn is_answering(&self) -> bool {
        self.running.as_ref().is_none_or(|r| !r.pinged)
    }

    /// It has read the configuration of this generation, or does not run and will; and nothing is about to replace it.
    pub fn has_answered(&self, generation: u32) -> bool {
        self.next.is_none() && self.running.as_ref().is_none_or(|r| r.answered == generation)
    }

    /// Asks them to finish.
    pub fn tell_stop(&self) {
        self.processes().for_each(|p| p.tell(|channel| channel.order(&Order::Stop)));
    }

    /// The next answer of one of them. `None` when there is none now, or it was killed since.
    pub fn reply_of(&mut self, pid: u32) -> Option<Reply> {
        let killed = self.next.as_ref().is_some_and(|n| n.process.pid == pid && n.is_killed());
        let next = self.next.as_mut().map(|n| &mut n.process);
        let mut all = self.running.iter_mut().chain(next).chain(&mut self.elders);
        all.find(|p| p.pid == pid)?.next_reply().filter(|_| !killed)
    }

    /// The process has ended. `None`: it was none of these.
    pub fn ended(&mut self, pid: u32, now: Instant) -> Option<Ended> {
        if let Some(at) = self.elders.iter().position(|e| e.pid == pid) {
            self.elders.remove(at);
            return Some(Ended::Elder);
        }
        if self.next.as_ref().is_some_and(|n| n.process.pid == pid) {
            self.next = None;
            if self.running.is_none() {
                self.start_at = Some(now);
            }
            return Some(Ended::Next);
        }
        let running = self.running.take_if(|r| r.pid == pid)?;
        if self.next.as_ref().is_some_and(|n| !n.is_killed()) {
            return Some(Ended::Replaced);
        }
        let lived = now.saturating_duration_since(running.started);
        let pause = self.backoff.ended(lived, running.ready);
        self.start_at = Some(now + pause);
        Some(Ended::InCharge { never_ready: !running.ready, pause })
    }
}

impl Running {
    /// All its listeners and the configuration. Whether it took that; it is killed otherwise.
    pub(crate) fn tell_all(&self, server: Server, sockets: &Sockets, generation: u32) -> bool {
        let mut own = sockets.iter().filter(|(e, _)| e.server == server);
        own.all(|(e, fd)| self.try_tell(|channel| channel.order_listener(&e.key, fd.as_fd())))
            && self.try_tell(|channel| channel.order(&Order::Configured { generation }))
    }

    /// Hands it a file that it asked for, or says why not.
    pub fn tell_opened(&self, number: u32, file: std::io::Result<std::fs::File>) {
        let file = file.map(Into::into).map_err(|e| e.raw_os_error().unwrap_or(REFUSED));
        self.tell(|channel| channel.order(&Order::Opened { number, file }));
    }

    /// A child that does not take an order is of no use any more.
    pub(crate) fn tell(&self, order: impl FnOnce(&Channel) -> std::io::Result<()>) {
        self.try_tell(order);
    }

    /// As [`Running::tell`]. Whether it took the order.
    pub(crate) fn try_tell(&self, order: impl FnOnce(&Channel) -> std::io::Result<()>) -> bool {
        let taken = order(&self.channel).is_ok();
        if !taken {
            self.kill();
        }
        taken
    }

    /// Ends it.
    pub fn kill(&self) {
        let _ = process::send_signal(self.pid, Sig::Kill);
    }

    fn next_reply(&mut self) -> Option<Reply> {
        let reply = self.channel.next_reply().ok().flatten()?;
        match reply {
            Reply::Ready { generation } => (self.ready, self.answered) = (true, generation),
            Reply::Failed { generation, .. } | Reply::Renew { generation } => self.answered = generation,
            Reply::Pong => self.pinged = false,
            Reply::Open { .. } | Reply::Prepared { .. } => {}
        }
        Some(reply)
    }
}

/// What children keep of the environment (postconf(5) `import_environment`, without what only debugging needs).
fn kept_environment() -> Vec<(&'static str, std::ffi::OsString)> {
    const NAMES: [&str; 6] = ["TZ", "LANG", "MAIL_DEBUG", "MAIL_LOGTAG", "RUST_BACKTRACE", "XDG_RUNTIME_DIR"];
    let mut kept: Vec<_> = NAMES.iter().filter_map(|n| Some((*n, std::env::var_os(n)?))).collect();
    kept.push(("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(list: &[(u64, bool)]) -> Vec<u64> {
        let mut b = Backoff::default();
        list.iter().map(|(lived, ready)| b.ended(Duration::from_secs(*lived), *ready).as_secs()).collect()
    }

    #[test]
    fn a_killed_child_is_back_at_once() {
        assert_eq!(pauses(&[(10, true); 6]), [0, 0, 0, 0, 0, 1]);
        assert_eq!(pauses(&[(3600, true); 20]), [0; 20]);
    }

    #[test]
    fn one_that_never_comes_up_is_throttled() {
        assert_eq!(pauses(&[(0, false); 9]), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
