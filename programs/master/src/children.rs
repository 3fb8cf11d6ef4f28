//! Worker and courier: starting them, what they were told, and when to start them again (the back-off is pure).
//!
//! A child that was ready and dies is started again at once, unless it does so all the time; one that never got ready
//! waits longer each time, as master(8) throttles. Orders that cannot be delivered end the child: its successor gets
//! the whole state.

use crate::{
    endpoints::{Endpoint, Server},
    settings::Settings,
    sockets::Sockets,
};
use anyhow::{Context, Result};
use base_sys::{
    handoff::{Channel, ENV, ENV_CONFIG, Order, Reply},
    process::{self, Launch, Sig},
};
use std::{
    os::fd::AsFd,
    path::PathBuf,
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
}

/// Worker or courier.
#[derive(Debug)]
pub struct Slot {
    /// Which.
    pub server: Server,
    /// The process, while there is one.
    pub running: Option<Running>,
    /// In the background: it must not keep the terminal (or a pipe) of `postfix start`.
    quiet: bool,
    backoff: Backoff,
    start_at: Option<Instant>,
}

/// How a child ended, for the log.
#[derive(Debug)]
pub struct Ended {
    /// It never got ready.
    pub never_ready: bool,
    /// Until the next start.
    pub pause: Duration,
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
        Self { server, running: None, quiet, backoff: Backoff::default(), start_at: Some(now) }
    }

    /// When it is to be started, if it does not run.
    pub fn due(&self) -> Option<Instant> {
        if self.running.is_some() { None } else { self.start_at }
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
            Ok(()) => {
                self.tell_all(sockets, generation);
                Ok(())
            }
            Err(e) => {
                self.start_at = Some(now + self.backoff.ended(Duration::ZERO, false));
                Err(e)
            }
        }
    }

    fn launch(&mut self, settings: &Settings, now: Instant) -> Result<()> {
        let path = program(settings, self.server);
        let (channel, theirs) = Channel::pair()?;
        let mut launch = Launch::new(&path);
        launch.command().arg("-c").arg(&settings.dir).stdin(std::process::Stdio::null());
        launch.command().env_clear().envs(kept_environment()).env(ENV_CONFIG, &settings.dir);
        if self.quiet {
            launch.silent();
        }
        launch.pass_fd(ENV, theirs.into_fd()).tie_to_parent(Sig::Term);
        let child = launch.spawn().with_context(|| format!("cannot start {}", path.display()))?;
        self.running = Some(Running {
            pid: child.id(),
            channel,
            ready: false,
            answered: 0,
            pinged: false,
            started: now,
        });
        Ok(())
    }

    fn tell_all(&self, sockets: &Sockets, generation: u32) {
        for (endpoint, fd) in sockets.iter().filter(|(e, _)| e.server == self.server) {
            self.tell(|channel| channel.order_listener(&endpoint.key, fd.as_fd()));
        }
        self.tell(|channel| channel.order(&Order::Configured { generation }));
    }

    /// After a reload: what was opened and closed, then the new generation.
    pub fn tell_change(&self, sockets: &Sockets, opened: &[Endpoint], closed: &[Endpoint], generation: u32) {
        for endpoint in closed.iter().filter(|e| e.server == self.server) {
            self.tell(|channel| channel.order(&Order::Close(endpoint.key.clone())));
        }
        for endpoint in opened.iter().filter(|e| e.server == self.server) {
            if let Some(fd) = sockets.get(endpoint) {
                self.tell(|channel| channel.order_listener(&endpoint.key, fd.as_fd()));
            }
        }
        self.tell(|channel| channel.order(&Order::Configured { generation }));
    }

    /// Asks whether it is there, unless it was asked already.
    pub fn ping(&mut self) {
        if self.running.as_ref().is_some_and(|r| r.ready && !r.pinged) {
            self.tell(|channel| channel.order(&Order::Ping));
            self.running.iter_mut().for_each(|r| r.pinged = true);
        }
    }

    /// Not one that was asked whether it is there and says nothing.
    pub fn is_answering(&self) -> bool {
        self.running.as_ref().is_none_or(|r| !r.pinged)
    }

    /// It has read the configuration of this generation, or does not run and will.
    pub fn has_answered(&self, generation: u32) -> bool {
        self.running.as_ref().is_none_or(|r| r.answered == generation)
    }

    /// Asks it to finish.
    pub fn tell_stop(&self) {
        self.tell(|channel| channel.order(&Order::Stop));
    }

    /// Hands it a file that it asked for, or says why not.
    pub fn tell_opened(&self, number: u32, file: std::io::Result<std::fs::File>) {
        let file = file.map(Into::into).map_err(|e| e.raw_os_error().unwrap_or(REFUSED));
        self.tell(|channel| channel.order(&Order::Opened { number, file }));
    }

    /// A child that does not take an order is of no use any more.
    fn tell(&self, order: impl FnOnce(&Channel) -> std::io::Result<()>) {
        let Some(running) = &self.running else { return };
        if order(&running.channel).is_err() {
            let _ = process::send_signal(running.pid, Sig::Kill);
        }
    }

    /// Its next answer. `None` when there is none now.
    pub fn next_reply(&mut self) -> Option<Reply> {
        let running = self.running.as_mut()?;
        let reply = running.channel.next_reply().ok().flatten()?;
        match reply {
            Reply::Ready { generation } => (running.ready, running.answered) = (true, generation),
            Reply::Failed { generation, .. } => running.answered = generation,
            Reply::Pong => running.pinged = false,
            Reply::Open { .. } => {}
        }
        Some(reply)
    }

    /// The process has ended.
    pub fn ended(&mut self, now: Instant) -> Option<Ended> {
        let running = self.running.take()?;
        let lived = now.saturating_duration_since(running.started);
        let pause = self.backoff.ended(lived, running.ready);
        self.start_at = Some(now + pause);
        Some(Ended { never_ready: !running.ready, pause })
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
