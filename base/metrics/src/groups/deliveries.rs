//! Deliveries, one for each recipient and attempt: counted with the line `to=<…>, relay=…, status=…`.

use crate::{Histogram, Page, Table};
use std::{sync::Arc, time::Duration};

/// One recipient's outcome.
#[derive(Debug, Clone, Copy)]
pub struct Delivered {
    /// `sent`, `deferred`, `bounced` …
    pub status: &'static str,
    /// The four parts of `delays=a/b/c/d`.
    pub delays: [Duration; 4],
}

/// By program and status; delays by part.
#[derive(Debug, Default)]
pub struct Deliveries {
    outcomes: Table<(Arc<str>, &'static str)>,
    delays: [Histogram; 4],
}

/// What the parts of `delays=a/b/c/d` are.
const PARTS: [&str; 4] =
    ["a_before_queue_manager", "b_in_queue_manager", "c_connection_setup", "d_transmission"];

impl Deliveries {
    /// A delivery ended. `program` is the log's name of the agent, `postfix/smtp`.
    pub fn add(&self, program: &Arc<str>, delivered: Delivered) {
        let status = delivered.status;
        self.outcomes.add(1, |(p, s)| **p == **program && *s == status, || (Arc::clone(program), status));
        for (histogram, took) in self.delays.iter().zip(delivered.delays) {
            histogram.observe(took);
        }
    }

    pub(crate) fn write(&self, page: &mut Page) {
        page.table(
            "hikyaku_deliveries_total",
            "Deliveries by agent and status, one for each recipient and attempt.",
            ["program", "status"],
            &self.outcomes,
            |(program, status)| [program.to_string(), (*status).to_owned()],
        );
        let name = "hikyaku_delivery_delay_seconds";
        page.family(name, "histogram", "The parts of delays=a/b/c/d of all deliveries.");
        for (part, histogram) in PARTS.into_iter().zip(&self.delays) {
            page.histogram(name, &[("part", part)], histogram);
        }
    }
}
