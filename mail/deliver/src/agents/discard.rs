//! discard(8): claims success and keeps nothing; the next hop is the text of the log.

use super::Agent;
use crate::report::{Identity, Origin, Reporter};
use base_calls::{Deliver, Delivery, DeliveryReport, Diagnosis, Fut};
use proto_dsn::Status;
use std::sync::Arc;

/// discard(8).
pub const AGENT: Agent = Agent {
    command: "discard",
    make: |service, cfg, deps| Ok(Arc::new(Discard { identity: Identity::new(service, cfg, deps)? })),
};

struct Discard {
    identity: Identity,
}

fn delivered(status: Status, text: &str) -> Option<Diagnosis> {
    Some(Diagnosis { action: Some("delivered".into()), ..Diagnosis::new(status, text) })
}

impl Deliver for Discard {
    fn deliver(&self, delivery: Delivery) -> Fut<'_, DeliveryReport> {
        Box::pin(async move {
            let mut reporter = Reporter::new(&self.identity, &delivery);
            let (text, status) = (delivery.nexthop.as_ref(), Status::new(2, 0, 0));
            for target in &delivery.targets {
                reporter.sent(target, &Origin::none(), status, text, delivered).await;
            }
            reporter.finish()
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, delivery};
    use base_calls::{Notify, Outcome};

    #[tokio::test]
    async fn says_the_next_hop() {
        let bench = Bench::new("");
        let agent = bench.agent("discard unix - - n - - discard");
        let mut d = delivery("some words", &["x@a.test", "y@a.test"]);
        std::sync::Arc::get_mut(&mut d.message).unwrap().envelope.recipients[1].notify =
            Notify { success: true, ..Notify::default() };
        let report = agent.deliver(d).await;
        assert_eq!(
            bench.log(),
            [
                "to=<x@a.test>, relay=none, dsn=2.0.0, status=sent (some words)",
                "to=<y@a.test>, relay=none, dsn=2.0.0, status=sent (some words)"
            ]
        );
        assert_eq!(report.outcomes[0], (0, Outcome::Sent(None)));
        assert!(matches!(&report.outcomes[1], (1, Outcome::Sent(Some(d))) if d.reason == "some words"));
    }
}
