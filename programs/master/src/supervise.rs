//! The main loop: signals, answers of the children, their ends, and starting them again.
//!
//! One thread, no handlers: signals come through a descriptor. SIGHUP reads the configuration again (on error the last
//! good one stays), SIGTERM ends the children in an orderly way and within [`STOP_LIMIT`].

use crate::{
    activation::Given,
    children::{self, Ended, Slot},
    endpoints::Server,
    folders,
    launch::Report,
    notify::Notify,
    pid_file::PidFile,
    settings::{Owners, Settings},
    sockets::Sockets,
};
use anyhow::{Result, bail};
use base_log::{Log, Source};
use base_sys::{
    handoff::Reply,
    limits,
    process::{self, Exit, Sig, Signals, is_readable, wait_readable},
};
use std::{
    os::fd::AsFd,
    path::Path,
    time::{Duration, Instant},
};

/// From the order to stop until children are killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How long the first start may take before `postfix start` returns anyway.
const READY_LIMIT: Duration = Duration::from_secs(30);

struct Master<'a> {
    settings: Settings,
    sockets: Sockets,
    slots: [Slot; 2],
    signals: Signals,
    generation: u32,
    log: &'a Log,
    source: &'a Source,
    report: &'a Report,
    notify: Notify,
    /// A reload that not all children have answered yet.
    reloading: bool,
    started: Instant,
    announced: bool,
    /// Set by an orderly end: kill what is left at this time.
    stopping: Option<Instant>,
}

/// Runs the server until it is told to stop.
pub fn run(
    settings: Settings,
    signals: Signals,
    given: Given,
    log: &Log,
    source: &Source,
    report: &Report,
) -> Result<()> {
    limits::set_umask(0o022);
    folders::prepare(&settings)?;
    give_log_files(&settings, log, source);
    let _pid_file = PidFile::take(&settings.queue_directory)?;
    let _ = limits::raise_open_files(settings.open_files);
    for warning in &settings.warnings {
        log.warning(source, warning);
    }
    let mut sockets = Sockets::new(given);
    let bound = sockets.update(&settings.queue_directory, &settings.endpoints);
    if let Some(reason) = bound.failed.first() {
        bail!("{reason}");
    }
    for reason in &bound.spared {
        log.warning(source, reason);
    }
    for address in sockets.unwanted() {
        log.warning(source, format_args!("socket {address} was handed over, and no service listens there"));
    }
    log.info(
        source,
        format_args!(
            "daemon started -- version {}, configuration {}",
            settings.version,
            settings.dir.display()
        ),
    );
    let now = Instant::now();
    let quiet = report.is_awaited();
    let slots = [Slot::new(Server::Worker, quiet, now), Slot::new(Server::Courier, quiet, now)];
    let mut master = Master {
        settings,
        sockets,
        slots,
        signals,
        generation: 1,
        log,
        source,
        report,
        notify: Notify::from_environment(now),
        reloading: false,
        started: now,
        announced: false,
        stopping: None,
    };
    let done = master.serve();
    master.kill_all();
    log.flush();
    done
}

fn give_log_files(settings: &Settings, log: &Log, source: &Source) {
    if let Err(e) = folders::give_log_files(settings) {
        log.warning(source, format_args!("maillog_file: {}", base_sys::system_text(&e)));
    }
}

impl Master<'_> {
    fn serve(&mut self) -> Result<()> {
        loop {
            let now = Instant::now();
            if self.stopping.is_some() {
                if self.is_stopped(now) {
                    return Ok(());
                }
            } else {
                self.start_due(now);
                self.announce(now);
                self.look_after(now);
                self.slots.iter_mut().for_each(|s| s.expire(now));
            }
            self.wait(now)?;
            while let Some(sig) = self.signals.next_pending()? {
                self.signal(sig);
            }
            self.replies()?;
            while let Some((pid, exit)) = process::reap()? {
                self.ended(pid, exit);
            }
        }
    }

    fn start_due(&mut self, now: Instant) {
        for slot in &mut self.slots {
            if slot.due().is_some_and(|at| at <= now)
                && let Err(e) = slot.start(&self.settings, &self.sockets, self.generation, now)
            {
                self.log.warning(self.source, format_args!("{e:#}"));
            }
        }
    }

    /// Tells whoever started us, once everything is up.
    fn announce(&mut self, now: Instant) {
        let ready = self.slots.iter().all(|s| s.running.as_ref().is_some_and(|r| r.ready));
        if !self.announced && (ready || now.saturating_duration_since(self.started) > READY_LIMIT) {
            self.announced = true;
            self.report.ready();
            self.notify.ready();
        }
        if self.reloading && self.slots.iter().all(|s| s.has_answered(self.generation)) {
            self.reloading = false;
            self.notify.ready();
        }
    }

    /// The watchdog: whether the children answer, as far as anybody wants to know.
    fn look_after(&mut self, now: Instant) {
        let answering = self.slots.iter().all(Slot::is_answering);
        if self.notify.is_due(now, answering) {
            self.slots.iter_mut().for_each(Slot::ping);
        }
    }

    fn wait(&self, now: Instant) -> Result<()> {
        let mut fds = vec![self.signals.as_fd()];
        fds.extend(self.slots.iter().flat_map(Slot::processes).map(|r| r.channel.as_fd()));
        let due = self.slots.iter().filter_map(Slot::due);
        let due = due.chain(self.slots.iter().filter_map(Slot::until));
        let announce = (!self.announced).then(|| self.started + READY_LIMIT);
        let next = match self.stopping {
            Some(at) => Some(at),
            None => due.chain(announce).chain(self.notify.next()).min(),
        };
        // A channel at its end stays readable until the process is reaped: do not spin on it.
        let limit = next.map(|at| at.saturating_duration_since(now));
        let readable = wait_readable(&fds, limit)?;
        if readable.iter().skip(1).any(|r| *r) && readable.first() == Some(&false) {
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn signal(&mut self, sig: Sig) {
        match sig {
            Sig::Hup => self.reload(),
            Sig::Term | Sig::Int => self.stop(sig),
            _ => {}
        }
    }

    fn reload(&mut self) {
        let settings = match Settings::load(&self.settings.dir) {
            Ok(s) => s,
            Err(e) => {
                self.log
                    .error(self.source, format_args!("reload failed, the old configuration stays: {e:#}"));
                return;
            }
        };
        if settings.queue_directory != self.settings.queue_directory {
            self.log.warning(self.source, "a new queue_directory takes effect after stop and start");
            return;
        }
        self.log.info(
            self.source,
            format_args!("reload -- version {}, configuration {}", settings.version, settings.dir.display()),
        );
        give_log_files(&settings, self.log, self.source);
        self.log.reopen();
        if let Err(e) = folders::prepare(&settings) {
            self.log.warning(self.source, format_args!("{e:#}"));
        }
        for warning in &settings.warnings {
            self.log.warning(self.source, warning);
        }
        let change = self.sockets.update(&settings.queue_directory, &settings.endpoints);
        for reason in &change.failed {
            self.log.error(self.source, reason);
        }
        for reason in &change.spared {
            self.log.warning(self.source, reason);
        }
        self.notify.reloading();
        self.reloading = true;
        self.settings = settings;
        self.generation = self.generation.wrapping_add(1);
        for slot in &mut self.slots {
            slot.tell_change(&self.sockets, &change.opened, &change.closed, self.generation);
            slot.outdated();
        }
        self.slots.iter_mut().for_each(|s| s.again = true);
        self.renew_again();
    }

    /// Replaces a child when another program is installed, or it wants that.
    fn renew(&mut self, n: usize, forced: bool) {
        let Some(slot) = self.slots.get_mut(n) else { return };
        let path = children::program(&self.settings, slot.server);
        match slot.renew(forced, &self.settings, &self.sockets, self.generation, Instant::now()) {
            Ok(false) => {}
            Ok(true) => {
                self.log.info(self.source, format_args!("{}: starting a new process", path.display()));
            }
            Err(e) => self.log.warning(self.source, format_args!("{e:#}: the running process stays")),
        }
    }

    /// Looks whether there is something to replace, the worker first: deliveries that it has begun end with the courier that they
    /// began with. Goes on where it was when one replacement has come to its end.
    fn renew_again(&mut self) {
        for n in 0..self.slots.len() {
            if self.slots.iter().any(|s| s.next.is_some()) {
                return;
            }
            if self.slots.get_mut(n).is_some_and(|s| std::mem::take(&mut s.again)) {
                self.renew(n, false);
            }
        }
    }

    fn stop(&mut self, sig: Sig) {
        if self.stopping.is_some() {
            return;
        }
        self.notify.stopping();
        self.log.info(self.source, format_args!("terminating on signal {}", sig.number()));
        self.stopping = Some(Instant::now() + STOP_LIMIT);
        for slot in &self.slots {
            slot.tell_stop();
        }
    }

    /// All children are gone, or their time is up and they were killed.
    fn is_stopped(&mut self, now: Instant) -> bool {
        let left = self.slots.iter().any(|s| s.processes().next().is_some());
        if left && self.stopping.is_some_and(|at| at <= now) {
            self.log.warning(self.source, "processes did not end in time and were killed");
            return true;
        }
        !left
    }

    fn replies(&mut self) -> Result<()> {
        for n in 0..self.slots.len() {
            let Some(slot) = self.slots.get(n) else { continue };
            let talking = slot.processes().filter(|p| is_readable(p.channel.as_fd()));
            let talking: Vec<u32> = talking.map(|p| p.pid).collect();
            for pid in talking {
                if let Some(reply) = self.slots.get_mut(n).and_then(|s| s.reply_of(pid)) {
                    self.reply(n, pid, reply)?;
                }
            }
        }
        Ok(())
    }

    fn reply(&mut self, n: usize, pid: u32, reply: Reply) -> Result<()> {
        let Some(slot) = self.slots.get_mut(n) else { return Ok(()) };
        let is_next = slot.next.as_ref().is_some_and(|next| next.process.pid == pid);
        match reply {
            Reply::Failed { reason, .. } if is_next => {
                self.log.error(self.source, format_args!("{reason}: the running process stays"));
            }
            Reply::Failed { reason, .. } if !self.announced && self.stopping.is_none() => bail!("{reason}"),
            Reply::Open { number, path } => {
                let owner = self.settings.owners.as_ref().map(Owners::worker);
                let file = self.settings.readable.open(Path::new(&path), owner.as_ref());
                if let Some(process) = slot.processes().find(|p| p.pid == pid) {
                    process.tell_opened(number, file);
                }
            }
            Reply::Prepared { protocol } if is_next => {
                if let Err(e) = slot.prepared(protocol, &self.sockets, self.generation) {
                    let path = children::program(&self.settings, slot.server);
                    self.log.error(self.source, format_args!("{}: {e:#}", path.display()));
                }
            }
            Reply::Ready { .. } if is_next => {
                slot.promote(&self.sockets, self.generation);
                self.renew_again();
            }
            Reply::Ready { .. } => self.renew_again(),
            Reply::Renew { .. } => self.renew(n, true),
            Reply::Failed { .. } | Reply::Prepared { .. } | Reply::Pong => {}
        }
        Ok(())
    }

    fn ended(&mut self, pid: u32, exit: Exit) {
        let now = Instant::now();
        let ended =
            self.slots.iter_mut().enumerate().find_map(|(n, s)| Some((n, s.server, s.ended(pid, now)?)));
        let Some((n, server, ended)) = ended else { return };
        let path = children::program(&self.settings, server);
        if self.stopping.is_none() || !exit.is_success() {
            self.tell_end(&path, pid, exit, &ended);
        }
        if self.stopping.is_some() {
            return;
        }
        if let Ended::Replaced = ended
            && let Some(slot) = self.slots.get_mut(n)
        {
            slot.promote(&self.sockets, self.generation);
        }
        if let Ended::Next = ended
            && !self.slots.get(n).is_some_and(|s| s.again)
        {
            // Programs of one installation: none or all.
            self.slots.iter_mut().for_each(|s| s.again = false);
        }
        if let Ended::Replaced | Ended::Next = ended {
            self.renew_again();
        }
    }

    fn tell_end(&self, path: &Path, pid: u32, exit: Exit, ended: &Ended) {
        match ended {
            Ended::Replaced | Ended::Elder if exit.is_success() => return,
            _ => self.log.warning(self.source, format_args!("process {} pid {pid} {exit}", path.display())),
        }
        match ended {
            Ended::InCharge { never_ready: true, pause } if !pause.is_zero() => {
                let text = format_args!("{}: bad command startup -- throttling", path.display());
                self.log.warning(self.source, text);
            }
            Ended::Next => {
                let text = format_args!("{}: the running process was not replaced", path.display());
                self.log.warning(self.source, text);
            }
            _ => {}
        }
    }

    /// At the end, in whatever way it came.
    fn kill_all(&mut self) {
        self.slots.iter().flat_map(Slot::processes).for_each(children::Running::kill);
    }
}
