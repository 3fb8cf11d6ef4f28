//! Policy servers (`check_policy_service`).

use crate::{Counter, Histogram, Page};

/// Requests to all of them.
#[derive(Debug, Default)]
pub struct Policy {
    /// How long each request took, tries that failed included.
    pub requests: Histogram,
    /// Requests that ended with the default action.
    pub failures: Counter,
}

impl Policy {
    pub(crate) fn write(&self, page: &mut Page) {
        let name = "hikyaku_policy_request_seconds";
        page.family(name, "histogram", "How long requests to policy servers took.");
        page.histogram(name, &[], &self.requests);
        let help = "Requests to policy servers that ended with the default action.";
        page.counter("hikyaku_policy_failures_total", help, self.failures.get());
    }
}
