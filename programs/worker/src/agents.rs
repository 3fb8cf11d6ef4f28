//! The delivery agents of this configuration, by master.cf service name. A service whose parameters are wrong is lost alone: its
//! mail waits, and the log says why.

use base_calls::{Deliver, Delivery, DeliveryReport, Diagnosis, Fut, Outcome};
use base_conf::Error;
use base_log::Log;
use mail_schedule::Agents;
use std::{collections::HashMap, sync::Arc};

/// One agent for each master.cf service that delivers.
#[derive(Default)]
pub struct AgentMap(HashMap<String, Arc<dyn Deliver>>);

impl AgentMap {
    /// Adds a service.
    pub fn add(&mut self, service: &str, agent: Arc<dyn Deliver>) {
        self.0.insert(service.to_owned(), agent);
    }
}

impl Agents for AgentMap {
    fn agent(&self, transport: &str) -> Option<Arc<dyn Deliver>> {
        self.0.get(transport).cloned()
    }
}

/// A service that cannot run. Each delivery says why, as each of Postfix's processes would before it ends.
pub struct Unusable {
    source: String,
    error: Error,
    log: Log,
}

impl Unusable {
    /// `source` is the program name in the log, `postfix/smtp`.
    pub fn new(source: String, error: Error, log: Log) -> Self {
        Self { source, error, log }
    }
}

impl Deliver for Unusable {
    fn deliver(&self, delivery: Delivery) -> Fut<'_, DeliveryReport> {
        let source = self.log.session_source(self.source.as_str());
        self.log.fatal(&source, &self.error);
        let status = "4.3.0".parse().unwrap_or_default();
        let why = Diagnosis::new(status, "mail transport unavailable");
        let outcome = |index| (index, Outcome::Deferred(Box::new(why.clone())));
        let outcomes = delivery.targets.iter().map(|t| outcome(t.index)).collect();
        let down = Some(Box::new(why.clone()));
        Box::pin(
            async move { DeliveryReport { outcomes, destination_down: down, ..DeliveryReport::default() } },
        )
    }
}
