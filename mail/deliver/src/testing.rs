//! A bench for agents: configuration text in, log lines without their changing parts out.

use crate::{Deps, Transports, agent};
use base_calls::{
    Content, Deliver, Delivery, Envelope, Fut, QueueId, Queued, Recipient, Resolution, RewriteContext, Route,
    RouteError, Submission, Submit, SubmitError, SubmitOptions, Target, Timestamp,
};
use base_conf::{Config, MasterCf};
use base_log::{Captured, Log};
use proto_dsn::Status;
use std::sync::Arc;

pub(crate) struct Bench {
    pub config: Config,
    captured: Captured,
    pub deps: Deps,
}

struct Nothing;

impl Route for Nothing {
    fn rewrite(&self, _: RewriteContext, address: &str) -> String {
        address.to_owned()
    }

    fn resolve<'a>(&'a self, _: &'a str, _: &'a str) -> Fut<'a, Result<Resolution, RouteError>> {
        Box::pin(async { Err(RouteError { status: Status::new(4, 3, 0), text: "no route".into() }) })
    }

    fn unlisted<'a>(&'a self, _: &'a str) -> Fut<'a, Result<Option<base_calls::Unlisted>, RouteError>> {
        Box::pin(async { Ok(None) })
    }
}

impl Submit for Nothing {
    fn open(&self, _: Envelope, _: SubmitOptions) -> Result<Box<dyn Submission>, SubmitError> {
        Err(SubmitError::new(451, Status::new(4, 3, 0), "no"))
    }
}

impl Bench {
    pub fn new(main: &str) -> Self {
        let (log, captured) = Log::test();
        let config = Config::from_text(&format!("myhostname = mail.example.com\n{main}\n"));
        let deps = Deps {
            log,
            resolver: base_dns::Resolver::new(base_dns::Options::default()),
            tables: base_tables::Tables::new(base_tables::Options::default()),
            route: Arc::new(Nothing),
            submit: Arc::new(Nothing),
            opener: Arc::new(base_sys::opener::Plain),
            caches: Arc::new(base_cache::Caches::new(Arc::new(|_| ()))),
            queue_directory: "/nonexistent".into(),
            transports: Arc::new(Transports::default()),
        };
        Self { config, captured, deps }
    }

    pub fn agent(&self, entry: &str) -> Arc<dyn Deliver> {
        let master = MasterCf::parse(entry).unwrap();
        let service = &master.services[0];
        agent(service, &self.config.service(&service.name, &service.overrides), &self.deps).unwrap()
    }

    /// Lines so far, as they are.
    pub fn raw_log(&self) -> Vec<String> {
        self.captured.texts()
    }

    /// Lines so far, without queue id and delays.
    pub fn log(&self) -> Vec<String> {
        self.captured.texts().iter().map(|l| plain(l)).collect()
    }
}

fn plain(line: &str) -> String {
    let line = line.replace(&format!("{}: to=", id()), "to=").replace(&format!("{}: ", id()), "QID: ");
    match (line.find("delay="), line.find("dsn=")) {
        (Some(a), Some(b)) if a < b => format!("{}{}", &line[..a], &line[b..]),
        _ => line,
    }
}

fn id() -> QueueId {
    QueueId { time: Timestamp(1_700_000_000_000_000), slot: 1, long: false }
}

/// A small message for these recipients.
pub(crate) fn delivery(nexthop: &str, to: &[&str]) -> Delivery {
    delivery_of(nexthop, to, "Subject: x\r\n\r\n.dot\r\nx\r\n")
}

pub(crate) fn delivery_of(nexthop: &str, to: &[&str], content: &str) -> Delivery {
    let recipients = to.iter().map(|a| Recipient { address: (*a).into(), ..Recipient::default() }).collect();
    let envelope = Envelope {
        sender: "s@example.com".into(),
        recipients,
        size: content.len() as u64,
        ..Envelope::default()
    };
    let content = Content::Memory(content.as_bytes().to_vec().into());
    let message = Queued { id: id(), envelope, content, accepted: Timestamp::now() };
    let targets = to.iter().zip(0..).map(|(a, index)| Target { index, address: (*a).into() }).collect();
    Delivery {
        verp_sender: None,
        message: Arc::new(message),
        transport: "t".into(),
        nexthop: nexthop.into(),
        targets,
        activated: Timestamp::now(),
        done: Vec::new(),
    }
}
