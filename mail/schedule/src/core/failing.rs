//! Destinations and transports that do not answer: what waits for them goes to the `retry` transport.
//!
//! Pure. qmgr(8) "destination status cache", `minimal_backoff_time`, `transport_retry_time`.

use super::{Batch, Core, Limits, RETRY};
use crate::feedback::Concurrency;
use crate::work::{Dead, Part};
use base_calls::{Target, Timestamp};
use proto_dsn::Status;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

impl<M: Clone> Core<M> {
    /// Why a destination is left alone; one whose time is over starts again.
    pub(super) fn dead_text(&mut self, now: Timestamp, d: usize) -> Option<Arc<str>> {
        let destination = self.destinations.get_mut(d)?;
        if destination.dead.as_ref()?.until <= now {
            destination.dead = None;
            let rules = &self.transports[destination.transport].limits.rules;
            destination.concurrency = Concurrency::new(rules);
        }
        destination.dead.as_ref().map(|dead| dead.text.clone())
    }

    /// Sends recipients to the retry transport.
    pub(super) fn retry(
        &mut self,
        now: Timestamp,
        text: &Arc<str>,
        message: &M,
        targets: Vec<Target>,
        limits: Limits<'_>,
    ) {
        let t = self.transport(&Arc::from(RETRY), limits);
        let batch = Batch {
            message: message.clone(),
            transport: self.transports[t].name.clone(),
            nexthop: text.clone(),
            targets,
        };
        self.assign(now, t, batch, &mut BTreeMap::new(), limits);
        self.list_transport(now, t);
    }

    pub(super) fn failed(
        &mut self,
        now: Timestamp,
        d: usize,
        status: Status,
        reason: &str,
        limits: Limits<'_>,
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
        let mut waiting: Vec<usize> = destination.queue.iter().map(|(_, w)| *w).collect();
        if destination.ready > 0 {
            waiting.extend(transport.ready.iter().map(|(_, w)| *w));
        }
        for w in waiting {
            self.give_up(now, w, Some(d), &text, limits);
        }
    }

    pub(super) fn transport_failed(
        &mut self,
        now: Timestamp,
        t: usize,
        status: Status,
        reason: &str,
        limits: Limits<'_>,
    ) {
        let transport = &mut self.transports[t];
        if transport.dead.is_some() || *transport.name == *RETRY {
            return;
        }
        let text: Arc<str> = Arc::from(format!("{status} {reason}"));
        let until = now.plus(transport.limits.transport_dead_time);
        transport.dead = Some(Dead { until, text: text.clone() });
        let all: Vec<usize> = transport.line.iter().map(|(_, w)| *w).collect();
        for w in all {
            self.give_up(now, w, None, &text, limits);
        }
        let mut all: Vec<usize> = self.transports[t].destinations.values().copied().collect();
        all.sort_unstable();
        for d in all {
            self.settle(now, d);
        }
    }

    /// Sends what a message has for a destination, or for all of them, to the retry transport.
    fn give_up(
        &mut self,
        now: Timestamp,
        w: usize,
        only: Option<usize>,
        text: &Arc<str>,
        limits: Limits<'_>,
    ) {
        let Some(work) = self.works.get_mut(w) else { return };
        let wanted = |d: usize| only.is_none_or(|only| only == d);
        let message = work.message.clone();
        let (gone, stay) = std::mem::take(&mut work.ready).into_iter().partition(|p| wanted(p.destination));
        work.ready = stay;
        let gone: VecDeque<Part> = gone;
        let parked: Vec<usize> = work.parked.keys().copied().filter(|d| wanted(*d)).collect();
        let waiting: Vec<Part> = parked.iter().filter_map(|d| work.parked.remove(d)).collect();
        let order = work.order;
        for part in &gone {
            if let Some(destination) = self.destinations.get_mut(part.destination) {
                destination.ready = destination.ready.saturating_sub(1);
            }
        }
        for part in &waiting {
            if let Some(destination) = self.destinations.get_mut(part.destination) {
                destination.queue.remove(&(order, w));
            }
        }
        let entries: Vec<_> = gone.into_iter().chain(waiting).flat_map(|part| part.entries).collect();
        work.entries -= entries.len();
        self.tidy(w);
        self.retry(now, text, &message, entries.into_iter().flatten().collect(), limits);
    }
}
