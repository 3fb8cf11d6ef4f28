//! Questions to name servers.

use crate::{Counter, Histogram, Page};

/// The resolver's counts.
#[derive(Debug, Default)]
pub struct Dns {
    /// Questions of the server's parts, those that the cache answered included.
    pub questions: Counter,
    /// How long questions to name servers took, tries included.
    pub queries: Histogram,
    /// Answers with records or an alias.
    pub found: Counter,
    /// The name or the records do not exist.
    pub absent: Counter,
    /// No usable answer.
    pub failed: Counter,
}

impl Dns {
    pub(crate) fn write(&self, page: &mut Page) {
        let help = "DNS questions, those that the cache answered included.";
        page.counter("hikyaku_dns_questions_total", help, self.questions.get());
        page.counters(
            "hikyaku_dns_answers_total",
            "Answers of name servers by outcome.",
            "outcome",
            &[("found", &self.found), ("absent", &self.absent), ("failed", &self.failed)],
        );
        let name = "hikyaku_dns_query_seconds";
        page.family(name, "histogram", "How long name servers took.");
        page.histogram(name, &[], &self.queries);
    }
}
