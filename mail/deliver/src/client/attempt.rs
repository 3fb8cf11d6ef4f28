//! One delivery: the hosts of its next hops in turn, until every recipient has its answer.
//!
//! 4xx of a host means another one is tried with the recipients it concerns, as long as there is one
//! (`smtp_mx_session_limit`); 5xx is final. What a host that was not the last one said is logged without `to=`.

use super::{
    config::{ClientConfig, Dialect},
    feature_status::{self, Progress},
    generic,
    hosts::{self, Candidate, NoHosts},
    nexthop::{self, NextHop},
    pool::Pool,
    requiretls, resolver,
    sasl::Login,
    secure::Demands,
    session::{NoSession, Peer, Purpose, Session},
    texts,
    tls::Level,
    transfer, xforward,
};
use crate::{
    Deps, Transports,
    report::{Identity, Origin, Reporter},
};
use base_calls::{
    Content, Deliver, Delivery, DeliveryReport, Diagnosis, Fut, Mode, Target, Timestamp, UTF8_HEADER,
};
use base_conf::{Config, Error, Service};
use base_dns::Resolver;
use proto_address::{external, split_domain};
use proto_dsn::Status;
use proto_smtp::{
    Keyword,
    client::{Rejection, Stage, Transaction},
};
use std::sync::Arc;

/// Header bytes that are looked at for characters beyond ASCII.
const HEADER: usize = 64 * 1024;
/// From this many deliveries to one next hop at a time sessions are kept for the next one.
const DEMAND: usize = 3;

/// A client service.
pub(crate) struct Client {
    cfg: ClientConfig,
    identity: Identity,
    resolver: Resolver,
    transports: Arc<Transports>,
    pool: Arc<Pool>,
}

/// What is left to do, and why.
struct Work<'a, 'b> {
    reporter: &'a mut Reporter<'b>,
    left: Vec<&'b Target>,
    /// The newest reason why `left` is not delivered.
    why: Option<Diagnosis>,
    /// Sessions so far.
    sessions: usize,
    /// The message cannot go without SMTPUTF8.
    utf8: bool,
}

/// Whether to go on to the next host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Host,
    Stop,
}

impl Client {
    /// The client of a service.
    pub fn new(dialect: Dialect, service: &Service, cfg: &Config, deps: &Deps) -> Result<Self, Error> {
        Ok(Self {
            cfg: ClientConfig::new(dialect, service, cfg, deps)?,
            identity: Identity::new(service, cfg, deps)?,
            resolver: resolver::open(dialect, service, cfg, deps)?,
            transports: deps.transports.clone(),
            pool: Arc::default(),
        })
    }

    async fn run(&self, delivery: Delivery) -> DeliveryReport {
        let _busy = self.pool.begin(&delivery.nexthop);
        let mut reporter = Reporter::new(&self.identity, &delivery);
        let mut work = Work {
            left: sorted(&delivery.targets),
            why: None,
            sessions: 0,
            utf8: needs_utf8(&delivery),
            reporter: &mut reporter,
        };
        let hops: Vec<&str> = nexthop::split(&delivery.nexthop).collect();
        let fallback = self.cfg.fallback_relay.iter().map(String::as_str);
        let hops: Vec<&str> = hops.into_iter().chain(fallback).collect();
        for (i, hop) in hops.iter().enumerate() {
            if work.left.is_empty() || self.try_hop(&mut work, hop, i + 1 == hops.len()).await == Next::Stop {
                break;
            }
        }
        self.give_up(work).await;
        reporter.finish()
    }

    /// The hosts of one next hop.
    async fn try_hop(&self, work: &mut Work<'_, '_>, hop: &str, last: bool) -> Next {
        let cfg = &self.cfg;
        let parsed = match NextHop::parse(hop, cfg.dialect, cfg.dns, cfg.default_port) {
            Ok(parsed) => parsed,
            Err(e) => {
                work.reporter.warning(&e.to_string());
                work.why = Some(Diagnosis::new(Status::new(4, 3, 5), "mail system configuration error"));
                return Next::Host;
            }
        };
        let found = hosts::find(cfg, &self.resolver, &parsed).await;
        found.warnings.iter().for_each(|w| work.reporter.warning(w));
        match found.hosts {
            Ok(list) => self.try_hosts(work, hop, list, last).await,
            Err(NoHosts::Unresolved(d)) => {
                work.why = Some(*d);
                Next::Host
            }
            Err(NoHosts::Loop) => self.best_mx(work, &parsed, hop).await,
        }
    }

    /// We are the best mail exchanger: `best_mx_transport`, or a loop.
    async fn best_mx(&self, work: &mut Work<'_, '_>, hop: &NextHop, text: &str) -> Next {
        let domain = match hop {
            NextHop::Domain { domain, .. } => domain.as_str(),
            _ => text,
        };
        let (transport, nexthop) =
            self.cfg.best_mx_transport.split_once(':').unwrap_or((&self.cfg.best_mx_transport, ""));
        let agent = if transport.is_empty() { None } else { self.transports.get(transport) };
        let Some(agent) = agent else {
            let why = match transport {
                "" => texts::loops(text),
                t => Diagnosis::new(Status::new(4, 3, 0), format!("unknown mail transport {t}")),
            };
            for target in std::mem::take(&mut work.left) {
                work.reporter.failed(target, &Origin::none(), why.clone()).await;
            }
            return Next::Stop;
        };
        let targets: Vec<Target> = std::mem::take(&mut work.left).into_iter().cloned().collect();
        for target in &targets {
            work.reporter.info(&format!("passing <{}> to transport={transport}", external(&target.address)));
        }
        let nexthop = if nexthop.is_empty() { domain } else { nexthop };
        let other = Delivery {
            transport: transport.into(),
            nexthop: nexthop.into(),
            targets,
            ..work.reporter.delivery.clone()
        };
        work.reporter.merge(agent.deliver(other).await);
        Next::Stop
    }

    async fn try_hosts(&self, work: &mut Work<'_, '_>, hop: &str, list: Vec<Candidate>, last: bool) -> Next {
        let count = list.len();
        for (i, candidate) in list.iter().enumerate() {
            if work.left.is_empty() {
                return Next::Stop;
            }
            let limit = self.cfg.mx_session_limit;
            let limited = limit > 0 && work.sessions + 1 >= limit;
            let is_final = last && (i + 1 == count || limited);
            self.try_host(work, hop, candidate, is_final).await;
            if limit > 0 && work.sessions >= limit {
                break;
            }
        }
        Next::Host
    }

    /// One host: an idle session, or a new one.
    async fn try_host(&self, work: &mut Work<'_, '_>, hop: &str, candidate: &Candidate, is_final: bool) {
        let peer = Peer::new(&self.cfg, candidate);
        let (mut demands, login) = match self.purpose(work, hop, candidate, &peer).await {
            Ok(found) => found,
            Err(why) => {
                work.why = Some(why);
                return;
            }
        };
        let purpose = Purpose { hop, demands: &demands, login: login.as_ref() };
        let key = (peer.key.clone(), purpose.variant(&peer.name));
        while let Some(mut session) = self.pool.take(&key) {
            session.peer.name.clone_from(&peer.name);
            session.peer.relay.clone_from(&peer.relay);
            if self.transfer(work, session, &demands, is_final).await {
                work.sessions += 1;
                return;
            }
        }
        let mut opened = Session::open(&self.cfg, peer.clone(), &purpose, work.reporter).await;
        if matches!(opened, Err(NoSession::Plain)) {
            // Opportunistic: better plain than not at all.
            demands.policy.level = Level::None;
            let purpose = Purpose { hop, demands: &demands, login: login.as_ref() };
            opened = Session::open(&self.cfg, peer.clone(), &purpose, work.reporter).await;
        }
        match opened {
            Err(NoSession::Plain) => work.why = Some(texts::local(&peer)),
            Ok(session) => {
                work.sessions += 1;
                self.transfer(work, session, &demands, is_final).await;
            }
            Err(NoSession::Unreachable(why)) => work.why = Some(why),
            Err(NoSession::Refused(why)) => {
                work.sessions += 1;
                let why = match demands.requiretls {
                    Some(requiretls::Level::Enforce) if why.status.subject() == 7 => {
                        Diagnosis { status: why.status.with_class(5), ..why }
                    }
                    _ => why,
                };
                let tls = self.features(&demands, &Progress::Failed(&why));
                let origin = origin(&peer, 0, None, tls);
                if is_final && why.status.class() != 5 {
                    work.reporter.destination_down(&why);
                }
                work.all(&origin, why, is_final).await;
            }
        }
    }

    /// What the delivery line says of TLS.
    fn features(&self, demands: &Demands, progress: &Progress<'_>) -> String {
        if self.cfg.log_features { feature_status::text(demands, progress) } else { String::new() }
    }

    /// What a host must prove, and who we are for it. An error: why no mail may go there.
    async fn purpose(
        &self,
        work: &Work<'_, '_>,
        hop: &str,
        candidate: &Candidate,
        peer: &Peer,
    ) -> Result<(Demands, Option<Login>), Diagnosis> {
        let port = match candidate {
            Candidate::Inet { to, .. } => Some(to.port()),
            Candidate::Unix(_) => None,
        };
        let demands = Demands::find(&self.cfg, &self.resolver, hop, peer, port, work.reporter).await?;
        let Some(sasl) = &self.cfg.sasl else { return Ok((demands, None)) };
        let login = sasl.login(work.reporter.delivery.sender(), &peer.name, hop).await.map_err(|text| {
            work.reporter.warning(&text);
            texts::local(peer)
        })?;
        Ok((demands, login))
    }

    /// One transaction. False: the session was reused and is dead; nothing was tried.
    async fn transfer(
        &self,
        work: &mut Work<'_, '_>,
        mut session: Session,
        demands: &Demands,
        is_final: bool,
    ) -> bool {
        let reused = session.uses > 0;
        session.uses = session.uses.saturating_add(1);
        let tls = self.features(demands, &Progress::Session(&session));
        let origin = origin(&session.peer, session.uses, Some(Session::ready_now()), tls);
        let delivery = work.reporter.delivery;
        let envelope = &delivery.message.envelope;
        if let Some(limit) = session.features.size.filter(|&limit| envelope.size > limit) {
            work.all(&origin, texts::too_big(&session.peer, envelope.size, limit), is_final).await;
            return true;
        }
        if work.utf8 && !session.features.has(Keyword::SmtpUtf8) {
            work.all(&origin, texts::no_utf8(&session.peer), is_final).await;
            tokio::spawn(session.quit());
            return true;
        }
        if let Some(why) = requiretls::fault(demands.requiretls, &session) {
            work.all(&origin, why, is_final).await;
            tokio::spawn(session.quit());
            return true;
        }
        let keep = self.wanted_later(delivery).await && session.may_continue(&self.cfg);
        let lmtp = self.cfg.dialect == Dialect::Lmtp;
        let features = session.features.clone();
        let public = match &self.cfg.generic {
            Some(generic) => match generic.public(delivery, &work.left).await {
                Ok(public) => Some(public),
                Err(e) => {
                    work.reporter.warning(&format!("{}: {e}", delivery.message.id));
                    work.all(&origin, texts::local(&session.peer), true).await;
                    tokio::spawn(session.quit());
                    return true;
                }
            },
            None => None,
        };
        let dummy_auth = self.cfg.dummy_auth && session.is_logged_in();
        let mut mail =
            transfer::mail_params(delivery, requiretls::is_sent(demands.requiretls, &session), dummy_auth);
        let rcpts = work.left.iter().map(|t| transfer::rcpt_params(t, work.reporter.recipient(t)));
        let mut rcpts: Vec<_> = rcpts.collect();
        if let Some(public) = &public {
            mail.sender = &public.sender;
            for (rcpt, address) in rcpts.iter_mut().zip(&public.recipients) {
                rcpt.address = address;
            }
        }
        let mut t = Transaction::new(&features, lmtp, self.cfg.quote, mail, rcpts);
        if work.reporter.mode == Mode::Verify {
            t = t.probe(self.cfg.probe);
        }
        let whole = generic::Body::whole(&delivery.message.content);
        let body = public.as_ref().map_or(&whole, |p| &p.body);
        let end = match xforward::send(&mut session, &self.cfg, work.reporter).await {
            Ok(()) => transfer::run(&mut session, &self.cfg, &mut t, body, keep, work.reporter).await,
            Err(end) => Err(end),
        };
        if reused && is_stale(&t, &end) {
            return false;
        }
        let failure = end.as_ref().err().map(|(stage, how)| texts::broken(&session.peer, *stage, *how));
        work.settle(&t, &session.peer, &origin, failure, is_final, self.action()).await;
        match end {
            Ok(()) if t.must_cut() => drop(session),
            Ok(()) => self.leave(session, keep),
            Err(_) => drop(session),
        }
        true
    }

    fn action(&self) -> &'static str {
        if self.cfg.assume_final { "delivered" } else { "relayed" }
    }

    /// The session after a delivery: kept, or closed.
    fn leave(&self, session: Session, keep: bool) {
        let unwanted = if keep && session.may_continue(&self.cfg) {
            self.pool.put(session, self.cfg.cache_time)
        } else {
            Some(session)
        };
        if let Some(session) = unwanted {
            tokio::spawn(session.quit());
        }
    }

    /// Whether another delivery is likely to want this connection.
    async fn wanted_later(&self, delivery: &Delivery) -> bool {
        if self.cfg.cache_on_demand && self.pool.busy(&delivery.nexthop) >= DEMAND {
            return true;
        }
        !self.cfg.cache_destinations.is_empty()
            && self.cfg.cache_destinations.matches(&delivery.nexthop).await.unwrap_or(false)
    }

    /// Nobody is left to try: what remains is deferred or bounced with the last reason.
    async fn give_up(&self, work: Work<'_, '_>) {
        let why = work.why.unwrap_or_else(|| Diagnosis::new(Status::new(4, 4, 0), "no mail server found"));
        if !work.left.is_empty() && why.status.class() != 5 {
            work.reporter.destination_down(&why);
        }
        for target in work.left {
            work.reporter.failed(target, &Origin::none(), why.clone()).await;
        }
    }
}

impl Work<'_, '_> {
    /// The same for all that are left. Temporary and not the last host: only a line, and the next host.
    async fn all(&mut self, origin: &Origin, why: Diagnosis, is_final: bool) {
        if !is_final && why.status.class() == 4 {
            self.reporter.info(&why.reason);
            self.why = Some(why);
            return;
        }
        for target in std::mem::take(&mut self.left) {
            self.reporter.failed(target, origin, why.clone()).await;
        }
    }

    /// Reports what became of the recipients of a transaction, and keeps those that another host may take.
    async fn settle(
        &mut self,
        t: &Transaction<'_>,
        peer: &Peer,
        origin: &Origin,
        failure: Option<Diagnosis>,
        is_final: bool,
        action: &'static str,
    ) {
        let mut said: Option<Stage> = None;
        for (i, target) in std::mem::take(&mut self.left).into_iter().enumerate() {
            let why = match t.result(i) {
                Some(Ok(reply)) => {
                    let passed = t.passes_dsn() && self.reporter.mode == Mode::Deliver;
                    let notice = |status: Status, text: &str| {
                        if passed { None } else { Some(texts::relayed(peer, reply, status, text, action)) }
                    };
                    let status = reply.success_status();
                    self.reporter.sent(target, origin, status, &reply.text, notice).await;
                    continue;
                }
                Some(Err(rejection)) => {
                    let why = texts::rejected(peer, rejection);
                    if !is_final && why.status.class() == 4 {
                        self.say(&why, rejection, &mut said);
                    }
                    why
                }
                None => failure.clone().unwrap_or_else(|| texts::local(peer)),
            };
            if is_final || why.status.class() == 5 {
                self.reporter.failed(target, origin, why).await;
            } else {
                self.why = Some(why);
                self.left.push(target);
            }
        }
        if let Some(why) = failure.filter(|_| !is_final && !self.left.is_empty()) {
            self.reporter.info(&why.reason);
        }
    }

    /// Logs a refusal of a host that is not the last one; one that concerns the whole message only once.
    fn say(&mut self, why: &Diagnosis, rejection: &Rejection, said: &mut Option<Stage>) {
        if rejection.stage == Stage::Rcpt || *said != Some(rejection.stage) {
            self.reporter.info(&why.reason);
            *said = Some(rejection.stage);
        }
    }
}

/// By domain, then the whole address, as Postfix's queue manager orders the recipients of a transaction.
fn sorted(targets: &[Target]) -> Vec<&Target> {
    let mut list: Vec<&Target> = targets.iter().collect();
    if list.len() > 1 {
        list.sort_by_key(|t| (split_domain(&t.address).1, &t.address));
    }
    list
}

fn origin(peer: &Peer, conn_use: u32, ready: Option<Timestamp>, tls: String) -> Origin {
    Origin { relay: peer.relay.clone(), conn_use, ready, tls }
}

/// A reused session that the server had closed meanwhile, or closes with 421: as if it had not been there.
fn is_stale(t: &Transaction<'_>, end: &Result<(), (Stage, super::session::Broken)>) -> bool {
    let closing = matches!(t.result(0), Some(Err(r)) if r.stage == Stage::Mail && r.reply.code == 421);
    closing || matches!(end, Err((Stage::Mail | Stage::XforwardName | Stage::XforwardHelo, _)))
}

/// Whether addresses or headers hold characters beyond ASCII (RFC 6531 3.1: only then is SMTPUTF8 required).
fn needs_utf8(delivery: &Delivery) -> bool {
    let envelope = &delivery.message.envelope;
    envelope.smtputf8
        && (!delivery.sender().is_ascii()
            || delivery.targets.iter().any(|t| !t.address.is_ascii())
            || envelope.attribute(UTF8_HEADER).is_some()
            || header_is_utf8(&delivery.message.content))
}

fn header_is_utf8(content: &Content) -> bool {
    let Ok(start) = content.chunk(0, HEADER) else { return false };
    let end = memchr::memmem::find(&start, b"\r\n\r\n").unwrap_or(start.len());
    !start.get(..end).unwrap_or_default().is_ascii()
}

impl Deliver for Client {
    fn deliver(&self, delivery: Delivery) -> Fut<'_, DeliveryReport> {
        Box::pin(self.run(delivery))
    }
}
