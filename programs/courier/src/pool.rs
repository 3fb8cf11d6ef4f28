//! The children: a bounded number of processes, each for one identity, reused while there is work for it.
//!
//! A delivery takes an idle child of its identity, or starts one; at the bound the longest idle child of another identity
//! makes room, or the delivery waits. A child that fails in any way is killed; its recipient is deferred.

use crate::{
    child,
    frame::{self, Frames},
};
use anyhow::{Context, Result, anyhow, bail};
use base_calls::Content;
use base_sys::{
    privilege::Identity,
    process::{Launch, Sig, send_signal},
};
use mail_deposit::{Job, JobReport};
use std::{
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Child,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a delivery waits for a child.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pool.
pub struct Pool {
    program: PathBuf,
    limit: usize,
    idle_limit: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Oldest first.
    idle: Vec<(Instant, Worker)>,
    /// Idle and busy ones.
    total: usize,
    /// Deliveries that wait for a child.
    waiting: usize,
}

/// A child process.
struct Worker {
    who: Identity,
    frames: Frames,
    process: Child,
    /// How long the socket waits for a report.
    limit: Duration,
}

impl Worker {
    fn start(program: &PathBuf, who: &Identity) -> Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        let mut launch = Launch::new(program);
        launch.command().args(child::arguments(who)).env_clear().current_dir("/");
        launch.command().envs(["TZ", "LANG"].iter().filter_map(|n| Some((*n, std::env::var_os(n)?))));
        launch.pass_fd(child::ENV, theirs.into()).silent().new_session();
        let process = launch.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let frames = Frames::new(stream, None);
        Ok(Self { who: who.clone(), frames, process, limit: Duration::ZERO })
    }

    fn work(&mut self, job: &Job, content: &Content, limit: Duration) -> Result<JobReport> {
        if self.limit != limit {
            self.frames.stream().set_read_timeout(Some(limit))?;
            self.limit = limit;
        }
        self.frames.send(&child::encode(frame::place_of(content), job), content)?;
        let len = self.frames.next_len()?.ok_or_else(|| anyhow!("the process ended"))?;
        JobReport::parse(&self.frames.bytes(len)?).map_err(|_| anyhow!("malformed report"))
    }

    /// An idle one ends when its socket closes.
    fn dismiss(self) {
        let Self { frames, mut process, .. } = self;
        drop(frames);
        let _ = process.wait();
    }

    fn kill(self) {
        let Self { frames, mut process, .. } = self;
        let _ = send_signal(process.id(), Sig::Kill);
        drop(frames);
        let _ = process.wait();
    }
}

impl Pool {
    /// At most `limit` processes of `program`; idle ones end after `idle_limit`.
    pub fn new(program: PathBuf, limit: usize, idle_limit: Duration) -> Self {
        Self { program, limit, idle_limit, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the job done by `who`, in at most `limit`. An error says nothing of the job: it may have been done.
    pub fn run(&self, who: &Identity, job: &Job, content: &Content, limit: Duration) -> Result<JobReport> {
        let mut worker = self.take(who)?;
        match worker.work(job, content, limit) {
            Ok(report) => {
                self.give_back(worker);
                Ok(report)
            }
            Err(e) => {
                worker.kill();
                self.forget();
                Err(e)
            }
        }
    }

    fn take(&self, who: &Identity) -> Result<Worker> {
        let end = Instant::now() + PATIENCE;
        let mut state = self.state();
        loop {
            if let Some(at) = state.idle.iter().rposition(|(_, w)| w.who == *who) {
                return Ok(state.idle.remove(at).1);
            }
            if state.total < self.limit {
                state.total += 1;
                drop(state);
                return self.start(who);
            }
            if !state.idle.is_empty() {
                let (_, oldest) = state.idle.remove(0);
                drop(state);
                oldest.dismiss();
                return self.start(who);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("too many deliveries at a time");
            }
            state.waiting += 1;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
        }
    }

    /// A new child in a place that is reserved already.
    fn start(&self, who: &Identity) -> Result<Worker> {
        Worker::start(&self.program, who).inspect_err(|_| self.forget())
    }

    fn give_back(&self, worker: Worker) {
        let mut state = self.state();
        state.idle.push((Instant::now(), worker));
        self.wake_one(state);
    }

    /// There is room for one more. Nobody is woken, which costs a system call, when nobody waits.
    fn wake_one(&self, state: MutexGuard<'_, State>) {
        let waiting = state.waiting > 0;
        drop(state);
        if waiting {
            self.changed.notify_one();
        }
    }

    fn forget(&self) {
        let mut state = self.state();
        state.total = state.total.saturating_sub(1);
        self.wake_one(state);
    }

    /// Ends the children that were idle for too long. Called now and then.
    pub fn sweep(&self) {
        let mut state = self.state();
        let now = Instant::now();
        let old = state
            .idle
            .iter()
            .take_while(|(t, _)| now.saturating_duration_since(*t) >= self.idle_limit)
            .count();
        let gone: Vec<_> = state.idle.drain(..old).collect();
        state.total = state.total.saturating_sub(gone.len());
        drop(state);
        for (_, worker) in gone {
            worker.dismiss();
        }
        self.changed.notify_all();
    }
}
