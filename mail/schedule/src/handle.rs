//! Starting the queue manager, and what others ask of it: arrivals, flush, hold, delete, reload, stop.
//!
//! Requests of the administrator are recorded in the spool (synced) before they are answered.

use crate::core::Busy;
use crate::driver::{Inner, Parts};
use crate::state::{Fate, State};
use arc_swap::ArcSwap;
use base_calls::{
    Arrivals, Change, Envelope, Progress, QueueId, QueueName, Queued, RecipientState, Timestamp,
};
use base_log::{Log, Source};
use base_spool::{Spool, SpoolError, Summary};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The queue manager.
pub struct Scheduler;

impl Scheduler {
    /// Takes up everything in the spool and starts to deliver. Call it within a tokio runtime. Delivery starts at once:
    /// whatever new mail comes later goes through [`Arrivals`] of the handle.
    pub fn start(parts: Parts, spool: Arc<dyn Spool>, log: Log) -> Handle {
        Self::start_beside(parts, spool, log, &[])
    }

    /// The same, beside a process that has retired ([`Handle::retire`]) and is delivering these messages: each is left alone until
    /// [`Handle::returned`].
    pub fn start_beside(parts: Parts, spool: Arc<dyn Spool>, log: Log, lent: &[QueueId]) -> Handle {
        let source = Source::new(format!("{}/qmgr", parts.config.syslog_name), std::process::id());
        let mut state = State::default();
        lent.iter().for_each(|id| state.lend(*id));
        take_up(&mut state, &*spool, parts.config.maximal_backoff);
        state.backlog.scan(Timestamp::now());
        let inner = Arc::new(Inner {
            parts: ArcSwap::from_pointee(parts),
            spool,
            log,
            source,
            runtime: tokio::runtime::Handle::current(),
            wake: Notify::new(),
            closing: AtomicBool::new(false),
            tasks: AtomicUsize::new(0),
            quiet: Notify::new(),
            state: Mutex::new(state),
        });
        inner.runtime.spawn(clock(inner.clone()));
        inner.pump();
        Handle { inner }
    }
}

/// Lists the spool: new messages in the order of arrival, deferred ones for their time.
fn take_up(state: &mut State, spool: &dyn Spool, longest: Duration) {
    const PAGE: usize = 4096;
    let latest = Timestamp::now().plus(longest);
    let mut incoming: Vec<QueueId> = Vec::new();
    let mut from = Some(0u32);
    while let Some(slot) = from {
        let page = spool.list(slot, PAGE);
        from = page.last().and_then(|s| s.id.slot.checked_add(1));
        for s in page.iter().filter(|s| is_deliverable(s)) {
            match s.retry_at == Timestamp::default() {
                _ if state.is_active(s.id) => {}
                true => incoming.push(s.id),
                false => state.backlog.push_deferred(s.id, s.retry_at.min(latest)),
            }
        }
    }
    incoming.sort_unstable();
    incoming.into_iter().for_each(|id| state.backlog.push_incoming(id));
}

/// Not one on hold, unless it is to be returned all the same.
fn is_deliverable(s: &Summary) -> bool {
    !s.held || s.expired == Some(true)
}

/// Deferred queue scans and destinations whose time has come.
async fn clock(inner: Arc<Inner>) {
    let mut next_scan = Timestamp::now().plus(inner.parts.load().config.queue_run_delay);
    while !inner.is_closing() {
        let now = Timestamp::now();
        let (jobs, loads) = {
            let config = inner.parts.load().config.clone();
            let latest = now.plus(config.queue_run_delay);
            let mut state = inner.state();
            if now >= next_scan || next_scan > latest {
                state.backlog.scan(now);
                next_scan = latest;
            }
            state.core.tick(now);
            state.wakes_at = state.core.next_tick().map_or(next_scan, |t| t.min(next_scan));
            (state.take_jobs(now), state.take_loads(&config))
        };
        inner.run(jobs);
        inner.load(loads);
        let wakes_at = inner.state().wakes_at;
        let pause = wakes_at.since(Timestamp::now()).max(Duration::from_millis(1));
        let _ = tokio::time::timeout(pause, inner.wake.notified()).await;
    }
}

/// What others hold of the queue manager. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

impl Arrivals for Handle {
    fn arrived(&self, message: Arc<Queued>, held: bool) {
        if held || self.inner.is_closing() {
            return;
        }
        let config = self.inner.parts.load().config.clone();
        let attempt = self.inner.state().arrive(&message, &config);
        match attempt {
            Some(attempt) => self.inner.begin(attempt),
            None => self.inner.pump(),
        }
    }

    fn is_crowded(&self) -> bool {
        let limit = self.inner.parts.load().config.active_messages;
        self.inner.state().backlog.incoming() >= limit.max(1)
    }
}

impl Handle {
    /// `postqueue -f`: every deferred message is tried now, dead destinations included.
    pub fn flush(&self) {
        {
            let mut state = self.inner.state();
            state.core.revive(Timestamp::now());
            state.backlog.flush();
        }
        self.inner.pump();
    }

    /// `postqueue -i`: one message is tried now.
    pub fn flush_id(&self, id: QueueId) {
        self.inner.state().backlog.push_forced(id);
        self.inner.pump();
    }

    /// `postqueue -s`, ETRN: tries every deferred message with a recipient at `domain` or, written `[address]`, at
    /// that address. Reads the envelopes of the whole queue, one after the other, in the background.
    pub fn flush_domain(&self, domain: &str) {
        let inner = self.inner.clone();
        let domain = domain.to_ascii_lowercase();
        self.inner.runtime.spawn(async move {
            inner.state().core.revive(Timestamp::now());
            let handle = Self { inner };
            let mut from = Some(0u32);
            while let Some(slot) = from.filter(|_| !handle.inner.is_closing()) {
                let page = handle.inner.spool.list(slot, 256);
                from = page.last().and_then(|s| s.id.slot.checked_add(1));
                for s in page.iter().filter(|s| !s.held && s.retry_at != Timestamp::default()) {
                    if let Ok((message, progress)) = handle.inner.spool.load(s.id).await
                        && waits_for(&message.envelope, &progress, &domain)
                    {
                        handle.flush_id(s.id);
                    }
                }
            }
        });
    }

    /// `postsuper -h`: no further attempts until released.
    pub async fn hold(&self, id: QueueId) -> Result<(), SpoolError> {
        self.inner.spool.change(id, vec![Change::Held(true)], true).await?;
        self.decide(id, Fate::Hold);
        Ok(())
    }

    /// `postsuper -H`: into the deferred queue, tried at its next scan or flush.
    pub async fn release(&self, id: QueueId) -> Result<(), SpoolError> {
        self.release_with(id, vec![Change::Held(false)]).await
    }

    async fn release_with(&self, id: QueueId, mut changes: Vec<Change>) -> Result<(), SpoolError> {
        let now = Timestamp::now();
        changes.push(Change::RetryAt(now));
        self.inner.spool.change(id, changes, true).await?;
        let mut state = self.inner.state();
        match state.fate(id) {
            // Its attempt goes on to its end as if nothing had been.
            Some(cell) => cell.set(Fate::Deliver),
            None => state.backlog.push_deferred(id, now),
        }
        Ok(())
    }

    /// `postsuper -r`: forgets earlier attempts, routes again.
    pub async fn requeue(&self, id: QueueId) -> Result<(), SpoolError> {
        self.inner.spool.change(id, vec![Change::Requeued], true).await?;
        self.take_up(id);
        Ok(())
    }

    /// `postsuper -d`.
    pub async fn delete(&self, id: QueueId) -> Result<(), SpoolError> {
        self.decide(id, Fate::Delete);
        self.inner.spool.remove(id).await
    }

    /// `postsuper -e`, and `-f` with `release`: returned to the sender at the next attempt.
    pub async fn expire(&self, id: QueueId, release: bool) -> Result<(), SpoolError> {
        if release {
            return self.release_with(id, vec![Change::Expired(true), Change::Held(false)]).await;
        }
        self.inner.spool.change(id, vec![Change::Expired(false)], true).await
    }

    /// Tells an attempt under way.
    fn decide(&self, id: QueueId, fate: Fate) -> bool {
        self.inner.state().fate(id).is_some_and(|cell| {
            cell.set(fate);
            true
        })
    }

    /// Into the queue of new messages; an attempt under way is broken off and does that when it is over.
    fn take_up(&self, id: QueueId) {
        {
            let mut state = self.inner.state();
            match state.fate(id) {
                Some(cell) => cell.set(Fate::Requeue),
                None => state.backlog.push_incoming(id),
            }
        }
        self.inner.pump();
    }

    /// The queue a message counts as being in.
    pub fn queue_name(&self, s: &Summary) -> QueueName {
        match () {
            () if s.held => QueueName::Hold,
            () if self.inner.state().is_active(s.id) => QueueName::Active,
            () if s.retry_at == Timestamp::default() => QueueName::Incoming,
            () => QueueName::Deferred,
        }
    }

    /// The next hops with the most to do.
    pub fn busiest(&self, most: usize) -> Vec<Busy> {
        self.inner.state().core.busiest(most)
    }

    /// Messages that are being delivered.
    pub fn active(&self) -> usize {
        self.inner.state().active()
    }

    /// The spool behind it.
    pub fn spool(&self) -> &Arc<dyn Spool> {
        &self.inner.spool
    }

    /// New configuration, routes, agents. Deliveries under way end with the old ones.
    pub fn reload(&self, parts: Parts) {
        let limits = parts.config.clone();
        self.inner.parts.store(Arc::new(parts));
        let jobs = {
            let now = Timestamp::now();
            let mut state = self.inner.state();
            state.core.reload(now, &|t| limits.limits(t));
            state.take_jobs(now)
        };
        self.inner.run(jobs);
        self.inner.wake.notify_one();
        self.inner.pump();
    }

    /// Another process takes over: starts nothing more, and goes on with what is under way. Returns the messages that are being
    /// delivered; when that is over, and the spool has been told all about it, the receiver gets the id.
    pub fn retire(&self) -> (Vec<QueueId>, UnboundedReceiver<QueueId>) {
        let (heir, over) = unbounded_channel();
        let in_hand = self.inner.state().retire(&heir);
        self.inner.closing.store(true, SeqCst);
        self.inner.wake.notify_one();
        (in_hand, over)
    }

    /// The process that was delivering this message has done so, or is gone: what is left of it is taken up.
    pub fn returned(&self, id: QueueId) {
        {
            let mut state = self.inner.state();
            match state.returned(id) {
                None | Some(Fate::Hold | Fate::Delete) => {}
                Some(Fate::Requeue) => state.backlog.push_incoming(id),
                Some(Fate::Deliver) => self.wait_in_line(&mut state, id),
            }
        }
        self.inner.pump();
    }

    /// Another process recorded in the spool what the administrator decided about this message.
    pub fn changed(&self, id: QueueId) {
        {
            let mut state = self.inner.state();
            match state.fate(id) {
                None => self.wait_in_line(&mut state, id),
                Some(cell) => match (cell.get(), self.deliverable(id).is_some()) {
                    (Fate::Deliver, false) => cell.set(Fate::Hold),
                    (Fate::Hold, true) => cell.set(Fate::Deliver),
                    _ => {}
                },
            }
        }
        self.inner.pump();
    }

    /// The message, unless it is on hold or gone.
    fn deliverable(&self, id: QueueId) -> Option<Summary> {
        self.inner.spool.list(id.slot, 1).into_iter().find(|s| s.id == id).filter(is_deliverable)
    }

    /// Where the spool says that it belongs; no clock keeps it longer than `maximal_backoff_time`.
    fn wait_in_line(&self, state: &mut State, id: QueueId) {
        let latest = || Timestamp::now().plus(self.inner.parts.load().config.maximal_backoff);
        match self.deliverable(id) {
            None => {}
            Some(s) if s.retry_at == Timestamp::default() => state.backlog.push_incoming(id),
            Some(s) => state.backlog.push_deferred(id, s.retry_at.min(latest())),
        }
    }

    /// Starts nothing more and waits for deliveries under way, at most for `patience`. What is not finished stays in
    /// the spool. Close the spool afterwards.
    pub async fn shutdown(&self, patience: Duration) {
        self.inner.closing.store(true, SeqCst);
        self.inner.wake.notify_one();
        let all_done = async {
            loop {
                let quiet = self.inner.quiet.notified();
                tokio::pin!(quiet);
                quiet.as_mut().enable();
                if self.inner.tasks.load(SeqCst) == 0 {
                    return;
                }
                quiet.await;
            }
        };
        let _ = tokio::time::timeout(patience, all_done).await;
    }
}

/// Whether some unfinished recipient is at `domain`.
fn waits_for(envelope: &Envelope, progress: &Progress, domain: &str) -> bool {
    let open = |i: usize| {
        matches!(
            progress.recipients.get(i),
            None | Some(RecipientState::Pending | RecipientState::Deferred(_))
        )
    };
    let at = |address: &str| address.rsplit_once('@').is_some_and(|(_, d)| d.eq_ignore_ascii_case(domain));
    envelope.recipients.iter().enumerate().any(|(i, r)| open(i) && at(&r.address))
}
