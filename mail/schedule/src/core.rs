//! Who is delivered to next: messages in turn within a transport, small ones past big ones, limits.
//!
//! Pure: no clock, no IO. The driver submits routed recipients, takes [`Job`]s as long as there are any, and says how each
//! ended. Guarantees: never more jobs than the transport's processes or the destination's window; transports take turns;
//! within a transport messages go in the order of arrival, those without a destination that has room are passed over, and a
//! message with few deliveries goes past one with many, within the bounds of [`crate::slots`]; a message's destinations take
//! turns. A destination or transport that is dead gets nothing: what waits for it or comes later is sent to the `retry`
//! transport with the reason, as Postfix does, until the time is over.
//!
//! SCHEDULER_README, qmgr(8).

use crate::feedback::Concurrency;
pub use crate::jobs::{Batch, Health, Job, Ticket, TransportLimits};
use crate::slab::Slab;
use crate::work::{Dead, Destination, Order, Part, Work};
use base_calls::{Target, Timestamp};
pub use census::Busy;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::{cmp::Reverse, sync::Arc};

mod census;
mod failing;
mod preempt;

/// The transport that defers with the text of its next hop.
pub const RETRY: &str = "retry";

#[derive(Debug)]
struct Transport {
    name: Arc<str>,
    limits: TransportLimits,
    running: u32,
    /// Messages with something to deliver, in their order.
    line: BTreeSet<(Order, usize)>,
    /// Those of them that have a ready part.
    ready: BTreeSet<(Order, usize)>,
    /// The message whose delivery was started last.
    current: Option<usize>,
    /// When somebody who may go past the current message is looked for again, and the slots that it needs for that.
    search_at: (Timestamp, usize),
    /// In the ring of transports.
    listed: bool,
    destinations: HashMap<Arc<str>, usize>,
    dead: Option<Dead>,
    not_before: Timestamp,
}

impl Transport {
    /// Whether a delivery may start.
    fn has_room(&self, now: Timestamp) -> bool {
        match self.limits.transport_delay.is_zero() {
            true => self.running < self.limits.processes,
            false => self.running == 0 && self.not_before <= now,
        }
    }

    /// A delivery of this message was started.
    fn is_current(&mut self, w: usize) {
        if self.current.replace(w) != Some(w) {
            self.search_at = (Timestamp::default(), 1);
        }
    }
}

/// The scheduler's table. `M` names a message.
#[derive(Debug)]
pub struct Core<M> {
    transports: Vec<Transport>,
    names: HashMap<Arc<str>, usize>,
    destinations: Slab<Destination>,
    works: Slab<Work<M>>,
    ring: VecDeque<usize>,
    /// Idle destinations with something learned, oldest first.
    idle: VecDeque<usize>,
    timers: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// Transports that rest.
    transport_timers: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// Places given away in lines.
    places: u64,
}

/// Idle destinations whose concurrency is remembered.
const KEEP_IDLE: usize = 1000;

type Limits<'a> = &'a dyn Fn(&str) -> TransportLimits;

impl<M> Default for Core<M> {
    fn default() -> Self {
        Self {
            transports: Vec::new(),
            names: HashMap::new(),
            destinations: Slab::default(),
            works: Slab::default(),
            ring: VecDeque::new(),
            idle: VecDeque::new(),
            timers: BinaryHeap::new(),
            transport_timers: BinaryHeap::new(),
            places: 0,
        }
    }
}

impl<M: Clone> Core<M> {
    /// Adds recipients of one message. `limits` are those of a transport that is seen for the first time.
    pub fn submit(&mut self, now: Timestamp, batches: Vec<Batch<M>>, limits: Limits<'_>) {
        let mut works: BTreeMap<usize, usize> = BTreeMap::new();
        for batch in batches {
            let t = self.transport(&batch.transport, limits);
            let transport = &mut self.transports[t];
            if transport.dead.as_ref().is_some_and(|d| now >= d.until) {
                transport.dead = None;
            }
            match &transport.dead {
                Some(dead) => {
                    let text = dead.text.clone();
                    self.retry(now, &text, &batch.message, batch.targets, limits);
                }
                None => self.assign(now, t, batch, &mut works, limits),
            }
        }
        for t in works.into_keys() {
            self.list_transport(now, t);
        }
    }

    /// A transport by name.
    fn transport(&mut self, name: &Arc<str>, limits: Limits<'_>) -> usize {
        if let Some(&t) = self.names.get(name) {
            return t;
        }
        self.transports.push(Transport {
            name: name.clone(),
            limits: limits(name),
            running: 0,
            line: BTreeSet::new(),
            ready: BTreeSet::new(),
            current: None,
            search_at: (Timestamp::default(), 1),
            listed: false,
            destinations: HashMap::new(),
            dead: None,
            not_before: Timestamp::default(),
        });
        let t = self.transports.len() - 1;
        self.names.insert(name.clone(), t);
        t
    }

    /// Splits a batch into deliveries and adds them to the message's work in the transport.
    fn assign(
        &mut self,
        now: Timestamp,
        t: usize,
        batch: Batch<M>,
        works: &mut BTreeMap<usize, usize>,
        limits: Limits<'_>,
    ) {
        let Batch { message, nexthop, targets, .. } = batch;
        let size = self.transports[t].limits.recipients;
        let mut targets = targets.into_iter().peekable();
        while targets.peek().is_some() {
            let entry: Vec<Target> = targets.by_ref().take(size).collect();
            let key = match (size, entry.first()) {
                (1, Some(target)) => Arc::from(format!("{nexthop}\0{}", target.address)),
                _ => nexthop.clone(),
            };
            let d = self.destination(t, key, &nexthop);
            match self.dead_text(now, d) {
                Some(text) => self.retry(now, &text, &message, entry, limits),
                None => {
                    let w = *works.entry(t).or_insert_with(|| self.works.insert(new_work(&message, t, now)));
                    self.add(now, w, d, entry);
                }
            }
        }
    }

    fn destination(&mut self, t: usize, key: Arc<str>, nexthop: &Arc<str>) -> usize {
        let transport = &mut self.transports[t];
        if let Some(&d) = transport.destinations.get(&key) {
            return d;
        }
        let new = Destination::new(t, key.clone(), nexthop.clone(), &transport.limits.rules);
        let d = self.destinations.insert(new);
        transport.destinations.insert(key, d);
        d
    }

    /// Adds a delivery to a message's work; a work without any gets a place in the line.
    fn add(&mut self, now: Timestamp, w: usize, d: usize, entry: Vec<Target>) {
        let place = self.places + 1;
        let (Some(work), Some(destination)) = (self.works.get_mut(w), self.destinations.get_mut(d)) else {
            return;
        };
        let transport = &mut self.transports[work.transport];
        if work.entries == 0 {
            self.places = place;
            work.order = Order::last(place);
            transport.line.insert((work.order, w));
        }
        work.entries += 1;
        if let Some(part) = work.parked.get_mut(&d) {
            return part.entries.push_back(entry);
        }
        if let Some(part) = work.ready.back_mut().filter(|p| p.destination == d) {
            return part.entries.push_back(entry);
        }
        let part = Part { destination: d, entries: VecDeque::from([entry]) };
        if destination.queue.is_empty() && destination.ready < destination.room(now, &transport.limits) {
            destination.ready += 1;
            work.ready.push_back(part);
            transport.ready.insert((work.order, w));
        } else {
            destination.queue.insert((work.order, w));
            work.parked.insert(d, part);
            self.wake(now, d);
        }
    }

    /// Lets the first of those that wait for a destination go on, as far as there is room.
    fn wake(&mut self, now: Timestamp, d: usize) {
        let Some(destination) = self.destinations.get_mut(d) else { return };
        let t = destination.transport;
        let transport = &mut self.transports[t];
        while destination.ready < destination.room(now, &transport.limits)
            && let Some((order, w)) = destination.queue.pop_first()
        {
            let Some(work) = self.works.get_mut(w) else { continue };
            let Some(part) = work.parked.remove(&d) else { continue };
            work.ready.push_back(part);
            destination.ready += 1;
            transport.ready.insert((order, w));
        }
        if destination.not_before > now && !destination.queue.is_empty() {
            self.set_timer(d);
        }
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
        if transport.has_room(now) && !transport.listed && !transport.ready.is_empty() {
            transport.listed = true;
            self.ring.push_back(t);
        }
    }

    /// The next job that may start, if any.
    pub fn next(&mut self, now: Timestamp) -> Option<Job<M>> {
        while let Some(t) = self.ring.pop_front() {
            self.transports[t].listed = false;
            if !self.transports[t].has_room(now) {
                continue;
            }
            let job = self.select(now, t);
            self.list_transport(now, t);
            if job.is_some() {
                return job;
            }
        }
        None
    }

    fn select(&mut self, now: Timestamp, t: usize) -> Option<Job<M>> {
        while let Some(&(_, first)) = self.transports[t].ready.first() {
            let w = self.preempt(now, t, first).unwrap_or(first);
            let job = self.start(now, w);
            if job.is_some() {
                self.transports[t].is_current(w);
                return job;
            }
        }
        None
    }

    /// A delivery of this message. Parts whose destination has no room any more go back to wait.
    fn start(&mut self, now: Timestamp, w: usize) -> Option<Job<M>> {
        let work = self.works.get_mut(w)?;
        let transport = &mut self.transports[work.transport];
        let mut job = None;
        let mut late = Vec::new();
        while let Some(mut part) = work.ready.pop_front() {
            let d = part.destination;
            let Some(destination) = self.destinations.get_mut(d) else { continue };
            if destination.room(now, &transport.limits) == 0 {
                destination.ready -= 1;
                destination.queue.insert((work.order, w));
                work.park(part);
                late.push(d);
                continue;
            }
            let targets = part.entries.pop_front().unwrap_or_default();
            work.entries -= 1;
            work.slots.earn();
            destination.running += 1;
            transport.running += 1;
            match part.entries.is_empty() {
                true => destination.ready -= 1,
                false => work.ready.push_back(part),
            }
            job = Some(Job {
                message: work.message.clone(),
                transport: transport.name.clone(),
                nexthop: destination.nexthop.clone(),
                targets,
                ticket: Ticket { destination: d },
            });
            break;
        }
        self.tidy(w);
        for d in late.into_iter().chain(job.iter().map(|job: &Job<M>| job.ticket.destination)) {
            self.wake(now, d);
        }
        job
    }

    /// Takes a message out of the lines in which it has nothing left to do.
    fn tidy(&mut self, w: usize) {
        let Some(work) = self.works.get(w) else { return };
        let transport = &mut self.transports[work.transport];
        if work.ready.is_empty() {
            transport.ready.remove(&(work.order, w));
        }
        if work.entries == 0 {
            transport.line.remove(&(work.order, w));
            transport.current = transport.current.filter(|c| *c != w);
            self.works.remove(w);
        }
    }

    /// A job ended.
    pub fn finish(&mut self, now: Timestamp, ticket: Ticket, health: Health, limits: Limits<'_>) {
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

    /// After a change: let others go on, or forget it when nothing is to be remembered.
    fn settle(&mut self, now: Timestamp, d: usize) {
        self.wake(now, d);
        let Some(destination) = self.destinations.get_mut(d) else { return };
        let rules = &self.transports[destination.transport].limits.rules;
        if !destination.is_quiet() || destination.dead.as_ref().is_some_and(|dead| now < dead.until) {
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
            if destination.is_quiet() && destination.dead.is_none() {
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
    pub fn reload(&mut self, now: Timestamp, limits: Limits<'_>) {
        for t in 0..self.transports.len() {
            self.transports[t].limits = limits(&self.transports[t].name.clone());
            self.list_transport(now, t);
        }
        self.revive(now);
        for d in self.destinations.keys() {
            self.wake(now, d);
        }
    }

    /// Destinations known.
    pub fn destinations(&self) -> usize {
        self.destinations.len()
    }
}

/// A message's work before its first delivery is added.
fn new_work<M: Clone>(message: &M, transport: usize, now: Timestamp) -> Work<M> {
    Work {
        message: message.clone(),
        transport,
        order: Order::last(0),
        since: now,
        ready: VecDeque::new(),
        parked: BTreeMap::new(),
        entries: 0,
        slots: Default::default(),
    }
}
