//! The start of an attempt: recipients are routed and handed to the scheduler; and what the queue manager decides about
//! recipients by itself, with the log lines for it.

use crate::core::{Batch, Health, RETRY, Ticket};
use crate::driver::{AttemptJob, Inner, Parts};
use crate::plan::{ERROR, Plan, plan};
use crate::state::Attempt;
use base_calls::{DeliveryReport, Diagnosis, Mode, Outcome, RouteError, Target, Timestamp};
use base_log::lines::{Active, Delays, Delivery as DeliveryLine, DeliveryStatus};
use proto_address::split_domain;
use proto_dsn::Status;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long the router may take for one recipient.
const ROUTE_TIME: Duration = Duration::from_secs(1000);

/// By domain, then the whole address: which recipients share a delivery when there are more than fit in one.
fn in_order(targets: &mut [Target]) {
    targets.sort_by(|a, b| {
        let (at, bt) = (split_domain(&a.address).1, split_domain(&b.address).1);
        (at, &a.address).cmp(&(bt, &b.address))
    });
}

impl Inner {
    /// Routes a message's recipients and starts what may start.
    pub(crate) async fn attempt(self: Arc<Self>, attempt: Arc<Attempt>) {
        let parts = self.parts.load_full();
        let envelope = &attempt.message.envelope;
        let (pending, expired) = {
            let mut ledger = attempt.ledger();
            let (pending, expired) = (ledger.take_pending(envelope), ledger.progress().expired.is_some());
            (if expired { ledger.skip_tried(pending) } else { pending }, expired)
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
            state.submit(now, batches, &parts);
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
        // VERP: each recipient has a sender of its own.
        let alone = !attempt.message.envelope.verp.is_empty();
        for index in pending {
            match self.plan_one(parts, attempt, index, expired).await {
                Some(Plan::Deliver { transport, nexthop, target }) => {
                    let same = |b: &Batch<_>| b.transport == transport && b.nexthop == nexthop;
                    let at = match batches.last().is_some_and(same) {
                        _ if alone => batches.len(),
                        true => batches.len() - 1,
                        false => *known.entry((transport.clone(), nexthop.clone())).or_insert(batches.len()),
                    };
                    match batches.get_mut(at) {
                        Some(batch) => batch.targets.push(target),
                        None => batches.push(Batch {
                            message: attempt.clone(),
                            transport,
                            nexthop,
                            targets: vec![target],
                        }),
                    }
                }
                Some(Plan::Swallow(target)) => self.swallow(attempt, target),
                None => {
                    attempt.ledger().close(1);
                }
            }
        }
        for batch in batches.iter_mut().filter(|b| b.targets.len() > 1) {
            in_order(&mut batch.targets);
        }
        batches
    }

    async fn plan_one(&self, parts: &Parts, attempt: &Attempt, index: u32, expired: bool) -> Option<Plan> {
        let envelope = &attempt.message.envelope;
        let recipient = envelope.recipients.get(index as usize)?;
        let answer = match expired {
            true => None,
            false => {
                let asked = match envelope.is_probe() {
                    true => parts.route.resolve_probe(&envelope.sender, &recipient.address),
                    false => parts.route.resolve(&envelope.sender, &recipient.address),
                };
                let late = |_| {
                    let text = "address resolver timeout".to_owned();
                    Err(RouteError { status: Status::new(4, 3, 0), text })
                };
                Some(tokio::time::timeout(ROUTE_TIME, asked).await.unwrap_or_else(late))
            }
        };
        Some(plan(index, recipient, envelope, answer, &parts.config, attempt.flush))
    }

    fn swallow(&self, attempt: &Attempt, target: Target) {
        let reason = "undeliverable postmaster notification discarded";
        self.log_own(attempt, &target, Status::new(2, 0, 0), DeliveryStatus::Sent, reason);
        let report = DeliveryReport {
            outcomes: vec![(target.index, Outcome::Sent(None))],
            ..DeliveryReport::default()
        };
        attempt.ledger().report(&[target.index], report);
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
        let line = DeliveryLine {
            id: message.id,
            to,
            orig_to,
            relay,
            conn_use: 0,
            delays,
            tls: "",
            dsn,
            status,
            reason,
        };
        self.log.line(&self.source, &line);
    }

    /// A transport that master.cf does not have: its mail is deferred through the retry transport.
    pub(crate) async fn no_agent(
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
        let batch = Batch { message: attempt, transport, nexthop, targets };
        let now = Timestamp::now();
        let mut state = self.state();
        state.core.finish(now, ticket, health, &parts.limits());
        state.submit(now, vec![batch], parts);
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
        let word = match attempt.message.envelope.mode() {
            Mode::Verify => DeliveryStatus::Undeliverable,
            _ if retry => DeliveryStatus::Deferred,
            _ => DeliveryStatus::Bounced,
        };
        let outcome = |t: &Target| {
            self.log_own(attempt, t, status, word, reason);
            let why = Box::new(Diagnosis::new(status, reason));
            (t.index, if retry { Outcome::Deferred(why) } else { Outcome::Failed(why) })
        };
        DeliveryReport { outcomes: targets.iter().map(outcome).collect(), ..DeliveryReport::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_recipients() {
        let target = |a: &str| Target { index: 0, address: a.into() };
        let mut list = ["d@b.org", "a@c.org", "b@b.org", "x"].map(target);
        in_order(&mut list);
        assert_eq!(list.map(|t| t.address), ["x", "b@b.org", "d@b.org", "a@c.org"]);
    }
}
