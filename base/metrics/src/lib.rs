//! What the server counts, and Prometheus' text form of it.
//!
//! One [`Metrics`] for a process, handed around by the log (`base_log::Log::metrics`): most counts are taken where a log line is
//! made, from the same typed value. Counting is an atomic addition, without lock or allocation; labels come from bounded
//! sets ([`Table`]), so that no client can make the page grow. A group of families is one file in `groups`; a family is
//! there from the start with its help text, so that [`names`] knows them all.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

mod counter;
mod groups;
mod page;
mod table;

pub use counter::{Counter, Histogram};
pub use groups::{Delivered, Deliveries, Dns, Lines, Milters, Policy, Queue, Refusals, Smtpd, Tls};
pub use page::Page;
pub use table::Table;

use std::sync::Arc;

/// Everything that is counted from the start of the process on.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Sessions of clients and their commands.
    pub smtpd: Smtpd,
    /// Refusals and other words of rules.
    pub refusals: Refusals,
    /// Messages that enter and leave the queue.
    pub queue: Queue,
    /// Deliveries and their delays.
    pub deliveries: Deliveries,
    /// TLS in both directions.
    pub tls: Tls,
    /// What milters said.
    pub milters: Milters,
    /// Policy servers.
    pub policy: Policy,
    /// Questions to name servers; shared with the resolver.
    pub dns: Arc<Dns>,
    /// Log lines.
    pub lines: Lines,
}

impl Metrics {
    /// Writes all families.
    pub fn write(&self, page: &mut Page) {
        self.smtpd.write(page);
        self.refusals.write(page);
        self.queue.write(page);
        self.deliveries.write(page);
        self.tls.write(page);
        self.milters.write(page);
        self.policy.write(page);
        self.dns.write(page);
        self.lines.write(page);
    }
}

/// The names of all families on a page, in order; histograms with the names of their series.
pub fn names(page: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (name, kind) in page.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split_once(' ')) {
        names.push(name.to_owned());
        if kind == "histogram" {
            names.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_there_from_the_start() {
        let mut page = Page::default();
        Metrics::default().write(&mut page);
        let text = page.into_text();
        let names = names(&text);
        assert!(names.iter().any(|n| n == "hikyaku_delivery_delay_seconds_bucket"));
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), names.len(), "a family is there twice");
        for line in text.lines() {
            let fine = line.starts_with("# HELP hikyaku_")
                || line.starts_with("# TYPE hikyaku_")
                || line
                    .rsplit_once(' ')
                    .is_some_and(|(n, v)| n.starts_with("hikyaku_") && v.parse::<f64>().is_ok());
            assert!(fine, "{line}");
        }
    }
}
