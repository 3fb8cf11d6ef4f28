//! The tasks around the pure parts: one for each delivery, which goes on with the next one when it is done.
//!
//! The usual message costs one task: routed, delivered, removed, without timers. Whoever changes the shared state takes
//! the jobs that became possible: runs the first itself, spawns the rest. A delivery agent that panics counts as a
//! deferral. Nothing is awaited under a lock.

use crate::backlog::Entry;
use crate::config::ScheduleConfig;
use crate::core::{Health, Job, Ticket, TransportLimits};
use crate::ledger::with_success_reports;
use crate::state::{Attempt, Fate, State};
use arc_swap::ArcSwap;
use base_calls::{Deliver, Delivery, DeliveryReport, Notifier, Queued, Route, Timestamp};
use base_log::{Log, Source};
use base_spool::{Spool, SpoolError};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The longest delivery (`daemon_timeout`).
const DELIVERY_TIME: Duration = Duration::from_secs(18_000);

/// The delivery agents, by service name of master.cf.
pub trait Agents: Send + Sync {
    /// The agent for this transport, if master.cf has it.
    fn agent(&self, transport: &str) -> Option<Arc<dyn Deliver>>;
}

/// What a reload replaces.
#[derive(Clone)]
pub struct Parts {
    /// Parameters.
    pub config: Arc<ScheduleConfig>,
    /// The router.
    pub route: Arc<dyn Route>,
    /// The agents.
    pub agents: Arc<dyn Agents>,
    /// Bounces and the like.
    pub notifier: Arc<dyn Notifier>,
}

impl Parts {
    pub(crate) fn limits(&self) -> impl Fn(&str) -> TransportLimits + '_ {
        |transport| self.config.limits(transport)
    }
}

pub(crate) type AttemptJob = Job<Arc<Attempt>>;

pub(crate) struct Inner {
    pub(crate) parts: ArcSwap<Parts>,
    pub(crate) spool: Arc<dyn Spool>,
    pub(crate) log: Log,
    pub(crate) source: Source,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) wake: Notify,
    pub(crate) closing: AtomicBool,
    pub(crate) tasks: AtomicUsize,
    pub(crate) quiet: Notify,
    pub(crate) state: Mutex<State>,
}

/// Counts a task, also when it panics.
struct TaskCount(Arc<Inner>);

impl Drop for TaskCount {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, SeqCst) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

/// Ends the job of an agent that panicked.
struct Running {
    inner: Arc<Inner>,
    job: Option<(Arc<Attempt>, Vec<u32>, Ticket)>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some((attempt, indexes, ticket)) = self.job.take() else { return };
        let inner = self.inner.clone();
        self.inner.log.error(&inner.source, format_args!("{}: delivery agent failed", attempt.message.id));
        self.inner.spawn(async move {
            if let Some(next) =
                inner.complete(attempt, indexes, ticket, DeliveryReport::default(), Health::Unknown).await
            {
                inner.run(vec![next]);
            }
        });
    }
}

impl Inner {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(SeqCst)
    }

    /// Starts a task that shutdown waits for.
    pub(crate) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.fetch_add(1, SeqCst);
        let count = TaskCount(self.clone());
        self.runtime.spawn(async move {
            let _count = count;
            work.await;
        });
    }

    /// Starts an attempt.
    pub(crate) fn begin(self: &Arc<Self>, attempt: Arc<Attempt>) {
        let inner = self.clone();
        self.spawn(async move { inner.attempt(attempt).await });
    }

    /// Starts jobs, each in a task of its own.
    pub(crate) fn run(self: &Arc<Self>, jobs: Vec<AttemptJob>) {
        for job in jobs {
            let inner = self.clone();
            self.spawn(async move { inner.perform(job).await });
        }
    }

    /// Starts loading what there is room for.
    pub(crate) fn load(self: &Arc<Self>, entries: Vec<Entry>) {
        for entry in entries {
            let inner = self.clone();
            self.spawn(async move { inner.load_one(entry).await });
        }
    }

    /// Loads what there is room for.
    pub(crate) fn pump(self: &Arc<Self>) {
        if self.is_closing() {
            return;
        }
        let config = self.parts.load().config.clone();
        let loads = self.state().take_loads(&config);
        self.load(loads);
    }

    async fn load_one(self: Arc<Self>, entry: Entry) {
        let now = Timestamp::now();
        let found = match self.spool.load(entry.id()).await {
            Ok((_, p)) if p.held && p.expired != Some(true) => None,
            Ok((_, p)) if entry.is_timed() && p.retry_at.secs() > now.secs() + 1 => None,
            Ok((message, p)) if p.delay_warned && self.confirms_delivery(&message) => {
                Some((Arc::new(with_success_reports(&message)), p))
            }
            Ok(found) => Some(found),
            Err(e) => {
                self.load_failed(entry, &e);
                None
            }
        };
        let config = self.parts.load().config.clone();
        let attempt = self.state().loaded(entry, found, &config);
        match attempt {
            Some(attempt) => self.attempt(attempt).await,
            None => self.pump(),
        }
    }

    /// Whether the sender, who was told of a delay, is to be told of its end too.
    fn confirms_delivery(&self, message: &Queued) -> bool {
        self.parts.load().config.confirm_delay_cleared && !message.envelope.sender.is_empty()
    }

    fn load_failed(&self, entry: Entry, error: &SpoolError) {
        match error {
            SpoolError::NotFound | SpoolError::Closed => {}
            SpoolError::Corrupt(_) => self.log.warning(&self.source, format_args!("{}: {error}", entry.id())),
            _ => {
                self.log.warning(&self.source, format_args!("{}: {error}", entry.id()));
                let wait = self.parts.load().config.minimal_backoff;
                self.state().backlog.push_deferred(entry.id(), Timestamp::now().plus(wait));
            }
        }
    }

    /// Makes a delivery, and those that become possible by it.
    pub(crate) async fn perform(self: Arc<Self>, job: AttemptJob) {
        let mut next = Some(job);
        while let Some(job) = next {
            next = self.perform_one(job).await;
        }
    }

    async fn perform_one(self: &Arc<Self>, job: AttemptJob) -> Option<AttemptJob> {
        let Job { message: attempt, transport, nexthop, targets, ticket } = job;
        let indexes: Vec<u32> = targets.iter().map(|t| t.index).collect();
        let parts = self.parts.load_full();
        if attempt.fate.get() != Fate::Deliver {
            return self.complete(attempt, indexes, ticket, DeliveryReport::default(), Health::Unknown).await;
        }
        let Some(agent) = parts.agents.agent(&transport) else {
            return self.no_agent(&parts, attempt, transport, nexthop, targets, ticket).await;
        };
        let envelope = &attempt.message.envelope;
        let verp_sender = match &targets[..] {
            [target] if !envelope.verp.is_empty() => envelope.verp_sender(&target.address).map(Arc::from),
            _ => None,
        };
        let done = attempt.done_members(&indexes);
        let delivery = Delivery {
            message: attempt.message.clone(),
            transport,
            nexthop,
            targets,
            activated: attempt.activated,
            verp_sender,
            done,
        };
        let mut running = Running { inner: self.clone(), job: Some((attempt, indexes, ticket)) };
        // Agents keep their own limits; this one is for an agent that hangs.
        let report = tokio::time::timeout(DELIVERY_TIME, agent.deliver(delivery)).await.unwrap_or_default();
        let (attempt, indexes, ticket) = running.job.take()?;
        let health = match &report.destination_down {
            Some(d) => Health::Down(d.status, d.reason.clone()),
            None => Health::Up,
        };
        self.complete(attempt, indexes, ticket, report, health).await
    }

    /// Records what a job brought, and returns a job that this task may do next.
    pub(crate) async fn complete(
        self: &Arc<Self>,
        attempt: Arc<Attempt>,
        indexes: Vec<u32>,
        ticket: Ticket,
        report: DeliveryReport,
        health: Health,
    ) -> Option<AttemptJob> {
        let parts = self.parts.load_full();
        let over = attempt.ledger().report(&indexes, report);
        let now = Timestamp::now();
        let (mut jobs, wake) = {
            let mut state = self.state();
            state.core.finish(now, ticket, health, &parts.limits());
            let jobs = if self.is_closing() { Vec::new() } else { state.take_jobs(now) };
            (jobs, state.core.next_tick().is_some_and(|t| t < state.wakes_at))
        };
        if wake {
            self.wake.notify_one();
        }
        let own = jobs.pop();
        self.run(jobs);
        if !over {
            self.save(&attempt).await;
        } else if own.is_none() || attempt.ledger().is_finished() {
            self.end(attempt).await;
        } else {
            self.end_aside(attempt);
        }
        own
    }
}
