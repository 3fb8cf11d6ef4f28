//! error(8): the next hop is why delivery fails: for good, or with the service name `retry` for now.

use super::Agent;
use crate::report::{Identity, Origin, Reporter};
use base_calls::{Deliver, Delivery, DeliveryReport, Diagnosis, Fut};
use proto_dsn::Status;
use std::sync::Arc;

/// error(8).
pub const AGENT: Agent = Agent {
    command: "error",
    make: |service, cfg, deps| {
        Ok(Arc::new(Fail { identity: Identity::new(service, cfg, deps)?, retry: service.name == "retry" }))
    },
};

struct Fail {
    identity: Identity,
    retry: bool,
}

impl Fail {
    /// Status and text of a next hop. A status of the wrong class is left out, with a warning.
    fn diagnosis(&self, nexthop: &str, reporter: &Reporter<'_>) -> Diagnosis {
        let (class, teller) = if self.retry { (4, "defer") } else { (5, "bounce") };
        let (given, text) = match Status::split_prefix(nexthop) {
            Some((status, text)) => (Some(status), text),
            None => (None, nexthop),
        };
        if let Some(status) = given.filter(|s| s.class() != class) {
            reporter.warning(&format!("{teller}_append: ignoring dsn code \"{status}\""));
        }
        let status = given.filter(|s| s.class() == class).unwrap_or(Status::new(5, 0, 0).with_class(class));
        Diagnosis::new(status, if text.is_empty() { "Address is undeliverable" } else { text })
    }
}

impl Deliver for Fail {
    fn deliver(&self, delivery: Delivery) -> Fut<'_, DeliveryReport> {
        Box::pin(async move {
            let mut reporter = Reporter::new(&self.identity, &delivery);
            let diagnosis = self.diagnosis(&delivery.nexthop, &reporter);
            for target in &delivery.targets {
                reporter.failed(target, &Origin::none(), diagnosis.clone()).await;
            }
            reporter.finish()
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, delivery};

    #[tokio::test]
    async fn as_postfix() {
        for (main, service, nexthop, want) in [
            ("", "error", "5.7.1 no longer here", &["dsn=5.7.1, status=bounced (no longer here)"] as &[&str]),
            ("", "error", "just words", &["dsn=5.0.0, status=bounced (just words)"]),
            ("", "error", "", &["dsn=5.0.0, status=bounced (Address is undeliverable)"]),
            (
                "",
                "error",
                "4.7.1 temporary words",
                &[
                    "warning: bounce_append: ignoring dsn code \"4.7.1\"",
                    "dsn=5.0.0, status=bounced (temporary words)",
                ],
            ),
            ("", "retry", "4.2.1 later", &["dsn=4.2.1, status=deferred (later)"]),
            (
                "",
                "retry",
                "5.2.1 later",
                &["warning: defer_append: ignoring dsn code \"5.2.1\"", "dsn=4.0.0, status=deferred (later)"],
            ),
            ("", "retry", "", &["dsn=4.0.0, status=deferred (Address is undeliverable)"]),
            ("soft_bounce = yes", "error", "5.7.1 no", &["dsn=4.7.1, status=SOFTBOUNCE (no)"]),
        ] {
            let bench = Bench::new(main);
            let agent = bench.agent(&format!("{service} unix - - n - - error"));
            let report = agent.deliver(delivery(nexthop, &["x@a.test"])).await;
            assert_eq!(report.outcomes.len(), 1);
            let lines: Vec<String> = want
                .iter()
                .map(|w| {
                    if w.starts_with("warning") {
                        (*w).into()
                    } else {
                        format!("to=<x@a.test>, relay=none, {w}")
                    }
                })
                .collect();
            assert_eq!(bench.log(), lines, "{service} {nexthop}");
        }
    }
}
