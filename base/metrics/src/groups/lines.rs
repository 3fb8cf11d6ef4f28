//! Log lines by severity, and those that were lost.

use crate::{Counter, Page};

/// The log.
#[derive(Debug, Default)]
pub struct Lines {
    /// Normal operation.
    pub info: Counter,
    /// `warning:`
    pub warning: Counter,
    /// `error:`
    pub error: Counter,
    /// `fatal:` and `panic:`
    pub fatal: Counter,
    /// Not written: too many waited, or the sink did not take them.
    pub lost: Counter,
}

impl Lines {
    pub(crate) fn write(&self, page: &mut Page) {
        page.counters(
            "hikyaku_log_lines_total",
            "Log lines of the worker by severity.",
            "severity",
            &[
                ("info", &self.info),
                ("warning", &self.warning),
                ("error", &self.error),
                ("fatal", &self.fatal),
            ],
        );
        page.counter("hikyaku_log_lines_lost_total", "Log lines that could not be written.", self.lost.get());
    }
}
