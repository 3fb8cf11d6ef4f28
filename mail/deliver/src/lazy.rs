//! An agent that is made when its first delivery comes: a service of master.cf that nobody uses opens no tables, and says
//! nothing of those it could not open.
//!
//! A service whose parameters are wrong is lost alone. Each delivery then says why, as each of Postfix's processes would
//! before it ends, and its mail waits.

use crate::{Deps, agents::Agent};
use base_calls::{Deliver, Delivery, DeliveryReport, Diagnosis, Fut, Outcome};
use base_conf::{Config, Error, Service};
use proto_dsn::Status;
use std::sync::{Arc, OnceLock};

/// See the module.
pub(crate) struct Lazy {
    kind: &'static Agent,
    service: Service,
    cfg: Config,
    deps: Deps,
    made: OnceLock<Result<Arc<dyn Deliver>, Error>>,
}

impl Lazy {
    /// For a service; nothing is opened yet.
    pub fn new(kind: &'static Agent, service: &Service, cfg: &Config, deps: &Deps) -> Self {
        let (service, cfg, deps) = (service.clone(), cfg.clone(), deps.clone());
        Self { kind, service, cfg, deps, made: OnceLock::new() }
    }

    fn agent(&self) -> &Result<Arc<dyn Deliver>, Error> {
        self.made.get_or_init(|| (self.kind.make)(&self.service, &self.cfg, &self.deps))
    }

    fn unusable(&self, delivery: &Delivery, error: &Error) -> DeliveryReport {
        let syslog_name = self.cfg.str("syslog_name").unwrap_or_else(|_| "postfix".into());
        let source = self.deps.log.session_source(format!("{syslog_name}/{}", self.service.command));
        self.deps.log.fatal(&source, error);
        let why = Diagnosis::new(Status::new(4, 3, 0), "mail transport unavailable");
        let outcome = |index| (index, Outcome::Deferred(Box::new(why.clone())));
        DeliveryReport {
            outcomes: delivery.targets.iter().map(|t| outcome(t.index)).collect(),
            destination_down: Some(Box::new(why.clone())),
            ..DeliveryReport::default()
        }
    }
}

impl Deliver for Lazy {
    fn deliver(&self, delivery: Delivery) -> Fut<'_, DeliveryReport> {
        match self.agent() {
            Ok(agent) => agent.deliver(delivery),
            Err(error) => Box::pin(std::future::ready(self.unusable(&delivery, error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, delivery};
    use base_calls::Outcome;

    #[tokio::test]
    async fn a_service_with_wrong_parameters_is_lost_alone() {
        let bench = Bench::new("smtp_host_lookup = nonsense");
        let agent = bench.agent("smtp unix - - n - - smtp");
        assert!(bench.log().is_empty(), "nothing happens before the first delivery");
        let report = agent.deliver(delivery("a.test", &["u@a.test"])).await;
        assert!(matches!(&report.outcomes[..], [(0, Outcome::Deferred(_))]));
        assert_eq!(bench.log(), ["fatal: bad smtp_host_lookup parameter: nonsense"]);
    }
}
