//! Milters: sessions that failed. What milters decided is counted with the lines `milter-reject`, `milter-hold`
//! ([`super::Refusals`]).

use crate::{Counter, Page};

/// Trouble with milters.
#[derive(Debug, Default)]
pub struct Milters {
    /// Warnings about a milter: no connection, a time limit, an answer that makes no sense.
    pub failures: Counter,
}

impl Milters {
    pub(crate) fn write(&self, page: &mut Page) {
        let help = "Warnings about milters: no connection, time limits, answers that make no sense.";
        page.counter("hikyaku_milter_failures_total", help, self.failures.get());
    }
}
