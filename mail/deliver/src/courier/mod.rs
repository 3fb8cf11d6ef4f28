//! The worker's side of local(8), virtual(8) and pipe(8): asks programs/courier to deposit, logs, forwards.
//!
//! [`link`] carries requests (protocol: `base_calls::courier`), [`forward`] submits the members of an alias that live
//! elsewhere. What the courier does not answer is deferred. A recipient with several final addresses (an alias) has
//! one outcome: deferred when any of them is, with the names of those that are done, which the next attempt leaves out; else failed
//! when any of them is, else sent.

mod forward;
mod link;

#[cfg(test)]
mod tests;

use crate::{
    Deps, Transports,
    report::{Identity, Origin, Reporter},
};
use base_calls::{
    Deliver, Delivery, DeliveryReport, Diagnosis, Envelope, Fut, Mode, Outcome, Submit, Target,
    courier::{ContentPlace, CourierAnswer, CourierRequest, Deposit, Forward, TargetAnswer, Verdict},
};
use base_conf::{Config, Error, Service};
use forward::Forwarder;
use link::Link;
use proto_address::external;
use proto_dsn::Status;
use std::{sync::Arc, time::Duration};

/// Bytes of names of members that a request may have on top of everything else.
const MAX_DONE: usize = 256 << 10;
/// Time on top of a command's own limit: locks, disks, the courier's queue.
const SLACK: Duration = Duration::from_secs(600);

/// A service that the courier performs.
pub(crate) struct Courier {
    identity: Identity,
    service: String,
    /// `relay=` in the log.
    relay: Arc<str>,
    /// `Action:` of a success notice.
    action: &'static str,
    time_limit: Duration,
    link: Link,
    forwarder: Forwarder,
    transports: Arc<Transports>,
}

impl Courier {
    /// The agent of a service whose command is local, virtual or pipe.
    pub fn agent(service: &Service, cfg: &Config, deps: &Deps) -> Result<Arc<dyn Deliver>, Error> {
        let pipe = service.command == "pipe";
        let relay = if pipe { &service.name } else { &service.command };
        Ok(Arc::new(Self {
            identity: Identity::new(service, cfg, deps)?,
            service: service.name.clone(),
            relay: relay.as_str().into(),
            action: if pipe && !is_final(&service.args) { "relayed" } else { "delivered" },
            time_limit: cfg.transport_time(&service.name, "time_limit")? + SLACK,
            link: Link::new(deps.queue_directory.join("private/courier")),
            forwarder: Forwarder::new(cfg, Arc::clone(&deps.submit) as Arc<dyn Submit>)?,
            transports: deps.transports.clone(),
        }))
    }

    async fn run(&self, delivery: Delivery) -> DeliveryReport {
        let mut reporter = Reporter::new(&self.identity, &delivery);
        let limit = self.time_limit * u32::try_from(delivery.targets.len()).unwrap_or(u32::MAX).clamp(1, 50);
        let asked = match self.request(&delivery) {
            Some(request) => self.link.ask(request, &delivery.message.content, limit).await,
            None => Err(link::NoAnswer::Malformed),
        };
        match asked {
            Ok(answer) => self.report(&mut reporter, answer).await,
            Err(e) => self.unavailable(&mut reporter, &e).await,
        }
        reporter.finish()
    }

    /// The request; `None` when a target is not in the envelope.
    fn request(&self, delivery: &Delivery) -> Option<CourierRequest> {
        let message = &delivery.message;
        let recipient = |t: &Target| message.envelope.recipients.get(usize::try_from(t.index).ok()?).cloned();
        let recipients = delivery.targets.iter().map(recipient).collect::<Option<Vec<_>>>()?;
        Some(CourierRequest {
            service: self.service.clone(),
            nexthop: delivery.nexthop.to_string(),
            queue_id: message.id.to_string(),
            envelope: Envelope {
                recipients,
                sender: delivery.sender().to_owned(),
                ..without_recipients(&message.envelope)
            },
            targets: delivery.targets.clone(),
            done: done_members(delivery),
            content: ContentPlace::Inline { len: message.content.len() },
        })
    }

    async fn unavailable(&self, reporter: &mut Reporter<'_>, error: &link::NoAnswer) {
        reporter.warning(&format!("connect to transport private/courier: {error}"));
        let why = Diagnosis::new(Status::new(4, 3, 0), "mail transport unavailable");
        for target in &reporter.delivery.targets {
            reporter.failed(target, &Origin::none(), why.clone()).await;
        }
        reporter.destination_down(&why);
    }

    async fn report(&self, reporter: &mut Reporter<'_>, answer: CourierAnswer) {
        let mut answers = answer.targets;
        for target in &reporter.delivery.targets {
            match answers.iter().position(|a| a.index == target.index) {
                Some(at) => self.target(reporter, target, answers.swap_remove(at)).await,
                None => {
                    let why = Diagnosis::new(Status::new(4, 3, 0), "mail transport unavailable");
                    reporter.failed(target, &Origin::none(), why).await;
                }
            }
        }
    }

    async fn target(&self, reporter: &mut Reporter<'_>, target: &Target, answer: TargetAnswer) {
        let origin = Origin::named(&self.relay, reporter.started);
        if let [Deposit { address, verdict: Verdict::HandOver(to), .. }] = &answer.deposits[..]
            && answer.forwards.is_empty()
        {
            return self.hand_over(reporter, target, address, to).await;
        }
        let expanded = answer.expanded || !answer.forwards.is_empty();
        let mut worst = Worst::default();
        for deposit in answer.deposits {
            let (member, goods) = (deposit.member.clone(), worst.goods);
            self.deposit(reporter, target, &origin, deposit, &mut worst).await;
            if worst.goods > goods {
                worst.done.push(member);
            }
        }
        for forward in &answer.forwards {
            let goods = worst.goods;
            self.forward(reporter, target, &origin, forward, &mut worst).await;
            if worst.goods > goods {
                worst.done.extend(forward.recipients.iter().map(|r| r.to_lowercase()));
                worst.done.extend(
                    Some(forward.address.to_lowercase()).filter(|a| *a != target.address.to_lowercase()),
                );
            }
        }
        let notice = self.notice(reporter, target, expanded, &worst);
        reporter.outcome(target, worst.outcome(notice));
    }

    /// What the sender hears of a success, if anything.
    fn notice(
        &self,
        reporter: &Reporter<'_>,
        target: &Target,
        expanded: bool,
        worst: &Worst,
    ) -> Option<Diagnosis> {
        if !reporter.notify(target).success || reporter.mode != Mode::Deliver {
            return None;
        }
        let (status, text) = worst.sent.clone()?;
        let (status, text, action) = if expanded {
            (Status::new(2, 0, 0), "alias expanded".to_owned(), "expanded")
        } else {
            (status, text, self.action)
        };
        let reason = format!("delivery via {}: {text}", self.relay);
        Some(Diagnosis { action: Some(action.into()), ..Diagnosis::new(status, reason) })
    }

    async fn deposit(
        &self,
        reporter: &mut Reporter<'_>,
        target: &Target,
        origin: &Origin,
        deposit: Deposit,
        worst: &mut Worst,
    ) {
        match deposit.verdict {
            Verdict::Sent(status, text) => {
                let d = Diagnosis { action: Some(self.action.into()), ..Diagnosis::new(status, text) };
                let (status, text) = reporter.log_sent(target, &deposit.address, origin, d).await;
                worst.sent(status, text);
            }
            Verdict::Deferred(d) | Verdict::Failed(d) => {
                worst.add(reporter.log_failure(target, &deposit.address, origin, d).await);
            }
            Verdict::HandOver(to) => {
                worst.add(self.other_agent(reporter, target, &deposit.address, &to).await)
            }
        }
    }

    async fn forward(
        &self,
        reporter: &mut Reporter<'_>,
        target: &Target,
        origin: &Origin,
        forward: &Forward,
        worst: &mut Worst,
    ) {
        let recipient = reporter.recipient(target).cloned().unwrap_or_default();
        if reporter.mode == Mode::Verify {
            for member in &forward.recipients {
                let d = Diagnosis::new(Status::new(2, 0, 0), format!("forwards to {member}"));
                reporter.log_sent(target, member, origin, d).await;
            }
            return worst.add(Outcome::Sent(None));
        }
        match self.forwarder.submit(reporter.delivery, &recipient, forward).await {
            Ok(id) => {
                let d = Diagnosis::new(Status::new(2, 0, 0), format!("forwarded as {id}"));
                let (status, text) = reporter.log_sent(target, &forward.address, origin, d).await;
                worst.sent(status, text);
            }
            Err(e) => {
                let class = if e.code / 100 == 5 { 5 } else { 4 };
                let why = Diagnosis::new(e.status.with_class(class), format!("cannot forward: {}", e.text));
                worst.add(reporter.log_failure(target, &forward.address, origin, why).await);
            }
        }
    }

    /// `mailbox_transport`, `fallback_transport` for the only address of a target.
    async fn hand_over(&self, reporter: &mut Reporter<'_>, target: &Target, address: &str, to: &str) {
        let outcome = self.other_agent(reporter, target, address, to).await;
        reporter.outcome(target, outcome);
    }

    /// Another transport delivers to `address`.
    async fn other_agent(
        &self,
        reporter: &mut Reporter<'_>,
        target: &Target,
        address: &str,
        to: &str,
    ) -> Outcome {
        let (transport, nexthop) = to.split_once(':').unwrap_or((to, ""));
        let nexthop = match nexthop {
            "" => address.rsplit_once('@').map_or("", |(_, domain)| domain),
            n => n,
        };
        let Some(agent) = self.transports.get(transport) else {
            let why = Diagnosis::new(Status::new(4, 3, 0), format!("unknown mail transport {transport}"));
            let origin = Origin::named(&self.relay, reporter.started);
            return reporter.log_failure(target, address, &origin, why).await;
        };
        let other = Delivery {
            transport: transport.into(),
            nexthop: nexthop.into(),
            targets: vec![Target { index: target.index, address: address.to_owned() }],
            ..reporter.delivery.clone()
        };
        reporter.info(&format!("passing <{}> to transport={transport}", external(address)));
        let mut report = agent.deliver(other).await;
        if address != target.address {
            report.of_member(address);
        }
        reporter.traces(report.traces);
        let found = report.outcomes.into_iter().find(|(i, _)| *i == target.index);
        found.map_or_else(|| Outcome::Deferred(Box::default()), |(_, outcome)| outcome)
    }
}

/// What earlier attempts are done with, by target; nothing when there is none, or more than fits a request.
fn done_members(delivery: &Delivery) -> Vec<Vec<String>> {
    let bytes: usize = delivery.done.iter().flat_map(|(_, members)| members).map(|m| m.len() + 8).sum();
    if bytes == 0 || bytes > MAX_DONE {
        return Vec::new();
    }
    let of = |t: &Target| delivery.done.iter().find(|(i, _)| *i == t.index).map(|(_, m)| m.clone());
    delivery.targets.iter().map(|t| of(t).unwrap_or_default()).collect()
}

/// An envelope without its recipients, which need not be copied.
fn without_recipients(e: &Envelope) -> Envelope {
    Envelope {
        arrival: e.arrival,
        sender: e.sender.clone(),
        envid: e.envid.clone(),
        ret: e.ret,
        body: e.body,
        smtputf8: e.smtputf8,
        origin: e.origin,
        client: e.client.clone(),
        recipients: Vec::new(),
        content_filter: e.content_filter.clone(),
        rewrite_local: e.rewrite_local,
        verp: e.verp.clone(),
        size: e.size,
        submitter: e.submitter.clone(),
        message_id: e.message_id.clone(),
        attributes: e.attributes.clone(),
    }
}

/// pipe(8) `flags=X`: the command performs final delivery.
fn is_final(args: &[String]) -> bool {
    args.iter().filter_map(|a| a.strip_prefix("flags=")).any(|f| f.contains('X'))
}

/// What becomes of a recipient with several final addresses.
#[derive(Default)]
struct Worst {
    /// How many were delivered.
    goods: usize,
    /// Which.
    done: Vec<String>,
    sent: Option<(Status, String)>,
    failed: Option<Box<Diagnosis>>,
    deferred: Option<Box<Diagnosis>>,
}

fn join(all: &mut Option<Box<Diagnosis>>, one: Box<Diagnosis>) {
    match all {
        Some(first) => first.join(*one),
        None => *all = Some(one),
    }
}

impl Worst {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Deferred(d) => join(&mut self.deferred, d),
            Outcome::Failed(d) => join(&mut self.failed, d),
            Outcome::Sent(_) => {
                self.goods += 1;
                self.sent.get_or_insert((Status::new(2, 0, 0), String::new()));
            }
        }
    }

    fn sent(&mut self, status: Status, text: String) {
        self.goods += 1;
        self.sent = Some((status, text));
    }

    fn outcome(self, notice: Option<Diagnosis>) -> Outcome {
        match (self.deferred, self.failed) {
            (Some(d), _) => Outcome::Deferred(Box::new(Diagnosis { done: self.done, ..*d })),
            (None, Some(d)) => Outcome::Failed(d),
            (None, None) => Outcome::Sent(notice.map(Box::new)),
        }
    }
}

impl Deliver for Courier {
    fn deliver(&self, delivery: Delivery) -> Fut<'_, DeliveryReport> {
        Box::pin(self.run(delivery))
    }
}
