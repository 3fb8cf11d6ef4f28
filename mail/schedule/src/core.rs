//! Who is delivered to next: recipients grouped by transport and next hop, fair share, limits.
//!
//! Pure: no clock, no IO. The driver submits routed recipients, takes [`Job`]s as long as there are any, and says how each
//! ended. Guarantees: never more jobs than the transport's processes or the destination's window; within a transport,
//! destinations take turns; within a destination, messages take turns (`…_destination_recipient_limit` recipients
//! each), so nothing starves while jobs end. A destination or transport that is dead gets nothing: what waits for it
//! or comes later is sent to the `retry` transport with the reason, as Postfix does, until the time is over.
//!
//! SCHEDULER_README, qmgr(8).

use crate::feedback::Concurrency;
pub use crate::jobs::{Batch, Health, Job, Ticket, TransportLimits};
use crate::slab::Slab;
use base_calls::Timestamp;
use proto_dsn::Status;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::{cmp::Reverse, sync::Arc};

/// The transport that defers with the text of its next hop.
pub const RETRY: &str = "retry";

#[derive(Debug)]
struct Dead {
    until: Timestamp,
    /// Next hop for the retry transport.
    text: Arc<str>,
}

#[derive(Debug)]
struct Transport {
    name: Arc<str>,
    limits: TransportLimits,
    running: u32,
    /// Destinations that may start a job, in turn.
    ring: VecDeque<usize>,
    /// In the ring of transports.
    listed: bool,
    destinations: HashMap<Arc<str>, usize>,
    dead: Option<Dead>,
    not_before: Timestamp,
}

#[derive(Debug)]
struct Destination<M> {
    transport: usize,
    key: Arc<str>,
    concurrency: Concurrency,
    running: u32,
    waiting: VecDeque<Batch<M>>,
    /// In the ring of its transport.
    listed: bool,
    not_before: Timestamp,
    /// A timer for `not_before` is set.
    timed: bool,
    dead: Option<Dead>,
    /// In the list of idle ones that are kept.
    idle: bool,
}

/// The scheduler's table. `M` names a message.
#[derive(Debug)]
pub struct Core<M> {
    transports: Vec<Transport>,
    names: HashMap<Arc<str>, usize>,
    destinations: Slab<Destination<M>>,
    ring: VecDeque<usize>,
    /// Idle destinations with something learned, oldest first.
    idle: VecDeque<usize>,
    timers: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// Transports that rest.
    transport_timers: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

/// Idle destinations whose concurrency is remembered.
const KEEP_IDLE: usize = 1000;

impl<M> Default for Core<M> {
    fn default() -> Self {
        Self {
            transports: Vec::new(),
            names: HashMap::new(),
            destinations: Slab::default(),
            ring: VecDeque::new(),
            idle: VecDeque::new(),
            timers: BinaryHeap::new(),
            transport_timers: BinaryHeap::new(),
        }
    }
}

impl<M: Clone> Core<M> {
    /// Adds recipients. `limits` are those of a transport that is seen for the first time.
    pub fn submit(&mut self, now: Timestamp, batch: Batch<M>, limits: &dyn Fn(&str) -> TransportLimits) {
        let Some(mut batch) = self.redirect_from_dead_transport(now, batch, limits) else { return };
        let t = self.transport(&batch.transport, limits);
        if self.transports[t].limits.recipients != 1 {
            let key = batch.nexthop.clone();
            return self.enqueue(now, t, key, batch, limits);
        }
        while let Some(target) = batch.targets.pop_front() {
            let key = Arc::from(format!("{}\0{}", batch.nexthop, target.address));
            let one = Batch {
                message: batch.message.clone(),
                transport: batch.transport.clone(),
                nexthop: batch.nexthop.clone(),
                targets: VecDeque::from([target]),
            };
            self.enqueue(now, t, key, one, limits);
        }
    }

    /// A transport by name.
    fn transport(&mut self, name: &Arc<str>, limits: &dyn Fn(&str) -> TransportLimits) -> usize {
        if let Some(&t) = self.names.get(name) {
            return t;
        }
        self.transports.push(Transport {
            name: name.clone(),
            limits: limits(name),
            running: 0,
            ring: VecDeque::new(),
            listed: false,
            destinations: HashMap::new(),
            dead: None,
            not_before: Timestamp::default(),
        });
        let t = self.transports.len() - 1;
        self.names.insert(name.clone(), t);
        t
    }

    fn redirect_from_dead_transport(
        &mut self,
        now: Timestamp,
        batch: Batch<M>,
        limits: &dyn Fn(&str) -> TransportLimits,
    ) -> Option<Batch<M>> {
        let t = self.transport(&batch.transport, limits);
        let transport = &mut self.transports[t];
        if transport.dead.as_ref().is_some_and(|d| now >= d.until) {
            transport.dead = None;
        }
        let Some(dead) = &transport.dead else { return Some(batch) };
        let text = dead.text.clone();
        self.retry(now, text, batch, limits);
        None
    }

    fn retry(
        &mut self,
        now: Timestamp,
        text: Arc<str>,
        mut batch: Batch<M>,
        limits: &dyn Fn(&str) -> TransportLimits,
    ) {
        batch.transport = Arc::from(RETRY);
        batch.nexthop = text.clone();
        let t = self.transport(&batch.transport, limits);
        self.enqueue(now, t, text, batch, limits);
    }

    fn enqueue(
        &mut self,
        now: Timestamp,
        t: usize,
        key: Arc<str>,
        batch: Batch<M>,
        limits: &dyn Fn(&str) -> TransportLimits,
    ) {
        let d = self.destination(t, key);
        let Some(destination) = self.destinations.get_mut(d) else { return };
        if destination.dead.as_ref().is_some_and(|dead| now >= dead.until) {
            destination.dead = None;
            destination.concurrency = Concurrency::new(&self.transports[t].limits.rules);
        }
        if let Some(dead) = &destination.dead {
            let text = dead.text.clone();
            return self.retry(now, text, batch, limits);
        }
        destination.waiting.push_back(batch);
        self.list(now, d);
    }

    fn destination(&mut self, t: usize, key: Arc<str>) -> usize {
        let transport = &mut self.transports[t];
        if let Some(&d) = transport.destinations.get(&key) {
            return d;
        }
        let d = self.destinations.insert(Destination {
            transport: t,
            key: key.clone(),
            concurrency: Concurrency::new(&transport.limits.rules),
            running: 0,
            waiting: VecDeque::new(),
            listed: false,
            not_before: Timestamp::default(),
            timed: false,
            dead: None,
            idle: false,
        });
        transport.destinations.insert(key, d);
        d
    }

    /// Puts a destination in the ring of those that may start a job, if it may.
    fn list(&mut self, now: Timestamp, d: usize) {
        let Some(destination) = self.destinations.get_mut(d) else { return };
        let t = destination.transport;
        let may = !destination.listed
            && !destination.waiting.is_empty()
            && destination.running
                < destination.concurrency.window().min(self.transports[t].limits.rules.limit.max(1));
        if !may {
            return;
        }
        if destination.not_before > now {
            self.set_timer(d);
            return;
        }
        destination.listed = true;
        self.transports[t].ring.push_back(d);
        self.list_transport(now, t);
    }

    /// Looks at a destination again when its rate delay is over.
    fn set_timer(&mut self, d: usize) {
        if let Some(destination) = self.destinations.get_mut(d)
            && !std::mem::replace(&mut destination.timed, true)
        {
            self.timers.push(Reverse((destination.not_before, d)));
        }
    }

    fn list_transport(&mut self, now: Timestamp, t: usize) {
        let transport = &mut self.transports[t];
        let room = match transport.limits.transport_delay.is_zero() {
            true => transport.running < transport.limits.processes,
            false => transport.running == 0 && transport.not_before <= now,
        };
        if room && !transport.listed && !transport.ring.is_empty() {
            transport.listed = true;
            self.ring.push_back(t);
        }
    }

    /// The next job that may start, if any.
    pub fn next(&mut self, now: Timestamp) -> Option<Job<M>> {
        while let Some(t) = self.ring.pop_front() {
            let transport = &mut self.transports[t];
            transport.listed = false;
            let Some(d) = transport.ring.pop_front() else { continue };
            let job = self.start(t, d);
            self.list(now, d);
            self.list_transport(now, t);
            if job.is_some() {
                return job;
            }
        }
        None
    }

    fn start(&mut self, t: usize, d: usize) -> Option<Job<M>> {
        let destination = self.destinations.get_mut(d)?;
        destination.listed = false;
        let mut batch = destination.waiting.pop_front()?;
        let transport = &mut self.transports[t];
        let take = batch.targets.len().min(transport.limits.recipients);
        let targets = batch.targets.drain(..take).collect();
        destination.running += 1;
        transport.running += 1;
        let job = Job {
            message: batch.message.clone(),
            transport: batch.transport.clone(),
            nexthop: batch.nexthop.clone(),
            targets,
            ticket: Ticket { destination: d },
        };
        if !batch.targets.is_empty() {
            destination.waiting.push_back(batch);
        }
        Some(job)
    }

    /// A job ended.
    pub fn finish(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        health: Health,
        limits: &dyn Fn(&str) -> TransportLimits,
    ) {
        let d = ticket.destination;
        let Some(destination) = self.destinations.get_mut(d) else { return };
        let t = destination.transport;
        let rules = self.transports[t].limits.rules;
        let busy = destination.running;
        destination.running = busy.saturating_sub(1);
        self.transports[t].running = self.transports[t].running.saturating_sub(1);
        let delay = self.transports[t].limits.rate_delay;
        if !delay.is_zero() {
            destination.not_before = now.plus(delay);
        }
        match health {
            Health::Up => destination.concurrency.succeeded(&rules, busy),
            Health::Unknown => {}
            Health::Down(status, reason) => self.failed(now, d, status, &reason, limits),
            Health::NoTransport(status, reason) => self.transport_failed(now, t, status, &reason, limits),
        }
        self.rest(now, t);
        self.settle(now, d);
        self.list_transport(now, t);
    }

    /// `…_transport_rate_delay`: nothing starts for a while, whatever the destination.
    fn rest(&mut self, now: Timestamp, t: usize) {
        let transport = &mut self.transports[t];
        if !transport.limits.transport_delay.is_zero() {
            transport.not_before = now.plus(transport.limits.transport_delay);
            self.transport_timers.push(Reverse((transport.not_before, t)));
        }
    }

    fn failed(
        &mut self,
        now: Timestamp,
        d: usize,
        status: Status,
        reason: &str,
        limits: &dyn Fn(&str) -> TransportLimits,
    ) {
        let Some(destination) = self.destinations.get_mut(d) else { return };
        let transport = &self.transports[destination.transport];
        destination.concurrency.failed(&transport.limits.rules);
        if destination.concurrency.window() > 0 || destination.dead.is_some() {
            return;
        }
        let text: Arc<str> = Arc::from(format!("{status} delivery temporarily suspended: {reason}"));
        let until = now.plus(transport.limits.dead_time);
        destination.dead = Some(Dead { until, text: text.clone() });
        self.timers.push(Reverse((until, d)));
        for batch in std::mem::take(&mut destination.waiting) {
            self.retry(now, text.clone(), batch, limits);
        }
    }

    fn transport_failed(
        &mut self,
        now: Timestamp,
        t: usize,
        status: Status,
        reason: &str,
        limits: &dyn Fn(&str) -> TransportLimits,
    ) {
        let transport = &mut self.transports[t];
        if transport.dead.is_some() || *transport.name == *RETRY {
            return;
        }
        let text: Arc<str> = Arc::from(format!("{status} {reason}"));
        let until = now.plus(transport.limits.transport_dead_time);
        transport.dead = Some(Dead { until, text: text.clone() });
        let mut all: Vec<usize> = transport.destinations.values().copied().collect();
        all.sort_unstable();
        for d in all {
            let Some(destination) = self.destinations.get_mut(d) else { continue };
            for batch in std::mem::take(&mut destination.waiting) {
                self.retry(now, text.clone(), batch, limits);
            }
            self.settle(now, d);
        }
    }

    /// After a change: list it, or forget it when nothing is to be remembered.
    fn settle(&mut self, now: Timestamp, d: usize) {
        self.list(now, d);
        let Some(destination) = self.destinations.get_mut(d) else { return };
        let rules = &self.transports[destination.transport].limits.rules;
        if destination.running > 0 || !destination.waiting.is_empty() || destination.listed {
            return;
        }
        if destination.dead.as_ref().is_some_and(|dead| now < dead.until) {
            return;
        }
        if destination.not_before > now {
            return self.set_timer(d);
        }
        if destination.dead.is_none() && destination.concurrency.is_worth_keeping(rules) {
            if !destination.idle {
                destination.idle = true;
                self.idle.push_back(d);
            }
            return self.trim_idle();
        }
        if !destination.idle {
            self.forget(d);
        }
    }

    fn trim_idle(&mut self) {
        while self.idle.len() > KEEP_IDLE
            && let Some(d) = self.idle.pop_front()
        {
            let Some(destination) = self.destinations.get_mut(d) else { continue };
            destination.idle = false;
            if destination.running == 0 && destination.waiting.is_empty() && destination.dead.is_none() {
                self.forget(d);
            }
        }
    }

    fn forget(&mut self, d: usize) {
        if let Some(gone) = self.destinations.remove(d) {
            self.transports[gone.transport].destinations.remove(&gone.key);
        }
    }

    /// Time has passed: destinations with a rate delay may go on, dead ones are forgotten.
    pub fn tick(&mut self, now: Timestamp) {
        while let Some(Reverse((at, d))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            if let Some(destination) = self.destinations.get_mut(d) {
                destination.timed = false;
            }
            self.settle(now, d);
        }
        while let Some(Reverse((at, t))) = self.transport_timers.peek().copied()
            && at <= now
        {
            self.transport_timers.pop();
            self.list_transport(now, t);
        }
    }

    /// When [`Core::tick`] has something to do next.
    pub fn next_tick(&self) -> Option<Timestamp> {
        let next = |timers: &BinaryHeap<Reverse<(Timestamp, usize)>>| timers.peek().map(|r| r.0.0);
        next(&self.timers).into_iter().chain(next(&self.transport_timers)).min()
    }

    /// Forgets that destinations and transports are dead (`postqueue -f`).
    pub fn revive(&mut self, now: Timestamp) {
        for transport in &mut self.transports {
            transport.dead = None;
        }
        for d in self.destinations.keys() {
            let Some(destination) = self.destinations.get_mut(d) else { continue };
            if destination.dead.take().is_some() {
                let rules = &self.transports[destination.transport].limits.rules;
                destination.concurrency = Concurrency::new(rules);
                self.settle(now, d);
            }
        }
    }

    /// New limits after a reload. Jobs that run are counted against them.
    pub fn reload(&mut self, now: Timestamp, limits: &dyn Fn(&str) -> TransportLimits) {
        for t in 0..self.transports.len() {
            self.transports[t].limits = limits(&self.transports[t].name.clone());
            self.list_transport(now, t);
        }
        self.revive(now);
    }

    /// Destinations known.
    pub fn destinations(&self) -> usize {
        self.destinations.len()
    }
}
