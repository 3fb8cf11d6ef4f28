//! The main loop: signals, answers of the children, their ends, and starting them again.
//!
//! One thread, no handlers: signals come through a descriptor. SIGHUP reads the configuration again (on error the last
//! good one stays), SIGTERM ends the children in an orderly way and within [`STOP_LIMIT`].

use crate::{
    activation::Given,
    children::{self, Slot},
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
    process::{self, Exit, Sig, Signals, wait_readable},
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
        fds.extend(self.slots.iter().filter_map(|s| s.running.as_ref()).map(|r| r.channel.as_fd()));
        let due = self.slots.iter().filter_map(Slot::due);
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
        for slot in &self.slots {
            slot.tell_change(&self.sockets, &change.opened, &change.closed, self.generation);
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
        let left = self.slots.iter().any(|s| s.running.is_some());
        if left && self.stopping.is_some_and(|at| at <= now) {
            self.log.warning(self.source, "processes did not end in time and were killed");
            return true;
        }
        !left
    }

    fn replies(&mut self) -> Result<()> {
        let fds: Vec<_> = self.slots.iter().map(|s| s.running.as_ref().map(|r| r.channel.as_fd())).collect();
        let readable: Vec<bool> = fds
            .iter()
            .map(|fd| {
                fd.is_some_and(|f| matches!(wait_readable(&[f], Some(Duration::ZERO)).as_deref(), Ok([true])))
            })
            .collect();
        for (slot, readable) in self.slots.iter_mut().zip(readable) {
            let Some(reply) = readable.then(|| slot.next_reply()).flatten() else { continue };
            match reply {
                Reply::Failed { reason, .. } if !self.announced && self.stopping.is_none() => {
                    bail!("{reason}")
                }
                Reply::Open { number, path } => {
                    let owner = self.settings.owners.as_ref().map(Owners::worker);
                    slot.tell_opened(number, self.settings.readable.open(Path::new(&path), owner.as_ref()));
                }
                Reply::Failed { .. } | Reply::Ready { .. } | Reply::Pong => {}
            }
        }
        Ok(())
    }

    fn ended(&mut self, pid: u32, exit: Exit) {
        let now = Instant::now();
        let Some(slot) = self.slots.iter_mut().find(|s| s.running.as_ref().is_some_and(|r| r.pid == pid))
        else {
            return;
        };
        let path = children::program(&self.settings, slot.server);
        let ended = slot.ended(now);
        if self.stopping.is_some() && exit.is_success() {
            return;
        }
        self.log.warning(self.source, format_args!("process {} pid {pid} {exit}", path.display()));
        if ended.is_some_and(|e| e.never_ready && !e.pause.is_zero()) {
            self.log
                .warning(self.source, format_args!("{}: bad command startup -- throttling", path.display()));
        }
    }

    /// At the end, in whatever way it came.
    fn kill_all(&mut self) {
        for slot in &mut self.slots {
            if let Some(running) = slot.running.take() {
                let _ = process::send_signal(running.pid, Sig::Kill);
            }
        }
    }
}
