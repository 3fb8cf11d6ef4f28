//! The tasks around the pure parts: one for each delivery, which goes on with the next one when it is done.
//!
//! The usual message costs one task: routed, delivered, removed, without timers. Whoever changes the shared state takes
//! the jobs that became possible: runs the first itself, spawns the rest. A delivery agent that panics counts as a
//! deferral. Nothing is awaited under a lock.

use crate::backlog::Entry;
use crate::config::ScheduleConfig;
use crate::core::{Batch, Health, Job, RETRY, Ticket, TransportLimits};
use crate::plan::{ERROR, Plan, plan};
use crate::state::{Attempt, Fate, State};
use arc_swap::ArcSwap;
use base_calls::{
    Deliver, Delivery, DeliveryReport, Diagnosis, Notice, NoticeKind, Notifier, Outcome, Queued, Route,
    Target, Timestamp,
};
use base_log::lines::{Active, Delays, Delivery as DeliveryLine, DeliveryStatus, Expired, Removed};
use base_log::{Log, Source};
use base_spool::{Spool, SpoolError};
use proto_dsn::Status;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long the router may take for one recipient.
const ROUTE_TIME: Duration = Duration::from_secs(1000);

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
            Ok(found) => Some(found),
            Err(e) => {
                self.load_failed(entry, &e);
                None
            }
        };
        let attempt = self.state().loaded(entry, found);
        match attempt {
            Some(attempt) => self.attempt(attempt).await,
            None => self.pump(),
        }
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

    /// Routes a message's recipients and starts what may start.
    async fn attempt(self: Arc<Self>, attempt: Arc<Attempt>) {
        let parts = self.parts.load_full();
        let envelope = &attempt.message.envelope;
        let (pending, expired) = {
            let mut ledger = attempt.ledger();
            (ledger.take_pending(envelope), ledger.progress().expired.is_some())
        };
        self.log.line(
            &self.source,
            &Active {
                id: attempt.message.id,
                from: &envelope.sender,
                size: envelope.size,
                nrcpt: envelope.recipients.len(),
            },
        );
        let batches = self.route(&parts, &attempt, pending, expired).await;
        if attempt.ledger().is_over() {
            return self.end(attempt).await;
        }
        let now = Timestamp::now();
        let mut jobs = {
            let mut state = self.state();
            for batch in batches {
                state.core.submit(now, batch, &parts.limits());
            }
            if self.is_closing() { Vec::new() } else { state.take_jobs(now) }
        };
        if jobs.is_empty() {
            return;
        }
        let own = jobs.swap_remove(0);
        self.run(jobs);
        self.perform(own).await;
    }

    /// The recipients by transport and next hop.
    async fn route(
        &self,
        parts: &Parts,
        attempt: &Arc<Attempt>,
        pending: Vec<u32>,
        expired: bool,
    ) -> Vec<Batch<Arc<Attempt>>> {
        let mut batches: Vec<Batch<Arc<Attempt>>> = Vec::with_capacity(1);
        let mut known: HashMap<(Arc<str>, Arc<str>), usize> = HashMap::new();
        for index in pending {
            match self.plan_one(parts, attempt, index, expired).await {
                Some(Plan::Deliver { transport, nexthop, target }) => {
                    let same = |b: &Batch<_>| b.transport == transport && b.nexthop == nexthop;
                    let at = match batches.last().is_some_and(same) {
                        true => batches.len() - 1,
                        false => *known.entry((transport.clone(), nexthop.clone())).or_insert(batches.len()),
                    };
                    match batches.get_mut(at) {
                        Some(batch) => batch.targets.push_back(target),
                        None => batches.push(Batch {
                            message: attempt.clone(),
                            transport,
                            nexthop,
                            targets: VecDeque::from([target]),
                        }),
                    }
                }
                Some(Plan::Swallow(target)) => self.swallow(parts, attempt, target),
                None => {
                    attempt.ledger().close(1);
                }
            }
        }
        batches
    }

    async fn plan_one(&self, parts: &Parts, attempt: &Attempt, index: u32, expired: bool) -> Option<Plan> {
        let envelope = &attempt.message.envelope;
        let recipient = envelope.recipients.get(index as usize)?;
        let answer = match expired {
            true => None,
            false => {
                let asked = parts.route.resolve(&envelope.sender, &recipient.address);
                let late = |_| {
                    let text = "address resolver timeout".to_owned();
                    Err(base_calls::RouteError { status: Status::new(4, 3, 0), text })
                };
                Some(tokio::time::timeout(ROUTE_TIME, asked).await.unwrap_or_else(late))
            }
        };
        Some(plan(index, recipient, envelope, answer, &parts.config, attempt.flush))
    }

    fn swallow(&self, parts: &Parts, attempt: &Attempt, target: Target) {
        let reason = "undeliverable postmaster notification discarded";
        self.log_own(attempt, &target, Status::new(2, 0, 0), DeliveryStatus::Sent, reason);
        let report =
            DeliveryReport { outcomes: vec![(target.index, Outcome::Sent(None))], destination_down: None };
        attempt.ledger().report(&[target.index], report, &parts.config);
    }

    /// Logs a delivery that the queue manager decides by itself.
    fn log_own(&self, attempt: &Attempt, target: &Target, dsn: Status, status: DeliveryStatus, reason: &str) {
        let message = &attempt.message;
        let orig_to = message.envelope.recipients.get(target.index as usize).map_or("", |r| &r.original);
        let delays = Delays {
            before: attempt.activated.since(message.envelope.arrival),
            queue: Timestamp::now().since(attempt.activated),
            ..Delays::default()
        };
        let (to, relay) = (target.address.as_str(), "none");
        let line =
            DeliveryLine { id: message.id, to, orig_to, relay, conn_use: 0, delays, dsn, status, reason };
        self.log.line(&self.source, &line);
    }

    /// Makes a delivery, and those that become possible by it.
    async fn perform(self: Arc<Self>, job: AttemptJob) {
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
        let delivery = Delivery {
            message: attempt.message.clone(),
            transport,
            nexthop,
            targets,
            activated: attempt.activated,
        };
        let mut running = Running { inner: self.clone(), job: Some((attempt, indexes, ticket)) };
        let report = agent.deliver(delivery).await;
        let (attempt, indexes, ticket) = running.job.take()?;
        let health = match &report.destination_down {
            Some(d) => Health::Down(d.status, d.reason.clone()),
            None => Health::Up,
        };
        self.complete(attempt, indexes, ticket, report, health).await
    }

    /// A transport that master.cf does not have: its mail is deferred through the retry transport.
    async fn no_agent(
        self: &Arc<Self>,
        parts: &Parts,
        attempt: Arc<Attempt>,
        transport: Arc<str>,
        nexthop: Arc<str>,
        targets: Vec<Target>,
        ticket: Ticket,
    ) -> Option<AttemptJob> {
        let text = format!("connect to transport private/{transport}: No such file or directory");
        self.log.warning(&self.source, text);
        if *transport == *RETRY || *transport == *ERROR {
            let report = self.own_report(&attempt, *transport == *RETRY, &nexthop, &targets);
            let indexes = targets.iter().map(|t| t.index).collect();
            return self.complete(attempt, indexes, ticket, report, Health::Unknown).await;
        }
        let health = Health::NoTransport(Status::new(4, 3, 0), "mail transport unavailable".into());
        let batch = Batch { message: attempt, transport, nexthop, targets: targets.into() };
        let now = Timestamp::now();
        let mut state = self.state();
        state.core.finish(now, ticket, health, &parts.limits());
        state.core.submit(now, batch, &parts.limits());
        let mut jobs = if self.is_closing() { Vec::new() } else { state.take_jobs(now) };
        drop(state);
        let own = jobs.pop();
        self.run(jobs);
        own
    }

    /// What the `retry` and `error` agents would report, when master.cf lacks these too.
    fn own_report(
        &self,
        attempt: &Attempt,
        retry: bool,
        nexthop: &str,
        targets: &[Target],
    ) -> DeliveryReport {
        let class = if retry { Status::new(4, 0, 0) } else { Status::new(5, 0, 0) };
        let (status, reason) = Status::split_prefix(nexthop).unwrap_or((class, nexthop));
        let word = if retry { DeliveryStatus::Deferred } else { DeliveryStatus::Bounced };
        let outcome = |t: &Target| {
            self.log_own(attempt, t, status, word, reason);
            let why = Box::new(Diagnosis::new(status, reason));
            (t.index, if retry { Outcome::Deferred(why) } else { Outcome::Failed(why) })
        };
        DeliveryReport { outcomes: targets.iter().map(outcome).collect(), destination_down: None }
    }

    /// Records what a job brought, and returns a job that this task may do next.
    async fn complete(
        self: &Arc<Self>,
        attempt: Arc<Attempt>,
        indexes: Vec<u32>,
        ticket: Ticket,
        report: DeliveryReport,
        health: Health,
    ) -> Option<AttemptJob> {
        let parts = self.parts.load_full();
        let over = attempt.ledger().report(&indexes, report, &parts.config);
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

    /// Ends an attempt in a task of its own, where notices may take their time.
    fn end_aside(self: &Arc<Self>, attempt: Arc<Attempt>) {
        let inner = self.clone();
        self.spawn(async move { inner.end(attempt).await });
    }

    /// Writes down what the spool does not know yet.
    async fn save(&self, attempt: &Attempt) {
        let changes = attempt.ledger().take_unsaved();
        if changes.is_empty() || attempt.fate.get() == Fate::Delete {
            return;
        }
        if let Err(e) = self.spool.change(attempt.message.id, changes, false).await {
            self.spool_trouble(attempt, &e);
        }
    }

    fn spool_trouble(&self, attempt: &Attempt, error: &SpoolError) {
        if !matches!(error, SpoolError::NotFound | SpoolError::Closed) {
            self.log.warning(&self.source, format_args!("{}: {error}", attempt.message.id));
        }
    }

    /// The attempt is over: notices, then removal or the next time.
    async fn end(self: &Arc<Self>, attempt: Arc<Attempt>) {
        if attempt.fate.get() != Fate::Delete {
            self.notices(&attempt).await;
            self.settle(&attempt).await;
        }
        let config = self.parts.load().config.clone();
        let loads = {
            let mut state = self.state();
            state.release(&attempt);
            match attempt.fate.get() {
                Fate::Requeue => state.backlog.push_incoming(attempt.message.id),
                Fate::Deliver if !attempt.ledger().is_finished() => {
                    let at = attempt.ledger().progress().retry_at;
                    state.backlog.push_deferred(attempt.message.id, at);
                }
                _ => {}
            }
            if self.is_closing() { Vec::new() } else { state.take_loads(&config) }
        };
        self.load(loads);
    }

    async fn notices(&self, attempt: &Attempt) {
        let parts = self.parts.load_full();
        let message = &attempt.message;
        let verdict = {
            let mut ledger = attempt.ledger();
            if ledger.is_finished() {
                return;
            }
            ledger.verdict(Timestamp::now(), &message.envelope, &parts.config)
        };
        if let Some(forced) = verdict.expired {
            self.log.line(&self.source, &Expired { id: message.id, from: &message.envelope.sender, forced });
        }
        if self.notify(&parts, message, NoticeKind::Failed, &verdict.failed).await {
            attempt.ledger().noticed(&verdict.failed);
        }
        if self.notify(&parts, message, NoticeKind::Success, &verdict.delivered).await {
            attempt.ledger().noticed(&verdict.delivered);
        }
        if self.notify(&parts, message, NoticeKind::Delayed, &verdict.delayed).await {
            attempt.ledger().warned();
        }
    }

    /// Sends a notice if there is anybody to write about. False: nothing was sent, try again at the next attempt.
    async fn notify(
        &self,
        parts: &Parts,
        message: &Arc<Queued>,
        kind: NoticeKind,
        recipients: &[(u32, Diagnosis)],
    ) -> bool {
        if recipients.is_empty() {
            return false;
        }
        let notice = Notice { kind, message: message.clone(), recipients: recipients.to_vec() };
        match parts.notifier.notify(notice).await {
            Ok(_) => true,
            Err(e) => {
                self.log.warning(&self.source, format_args!("{}: notice not queued: {e}", message.id));
                false
            }
        }
    }

    /// Removes the message, or records when it is tried again.
    async fn settle(&self, attempt: &Attempt) {
        let id = attempt.message.id;
        let config = self.parts.load().config.clone();
        let finished = {
            let mut ledger = attempt.ledger();
            let finished = ledger.is_finished();
            if !finished && attempt.fate.get() == Fate::Deliver {
                ledger.retry(Timestamp::now(), &attempt.message.envelope, &config);
            }
            finished
        };
        if !finished {
            return self.save(attempt).await;
        }
        match self.spool.remove(id).await {
            Ok(()) => self.log.line(&self.source, &Removed { id }),
            Err(e) => self.spool_trouble(attempt, &e),
        }
    }
}
