//! `ID: from=<…>, size=…, nrcpt=… (queue active)` (qmgr).

use super::Line;
use crate::Source;
use base_calls::QueueId;
use base_metrics::Metrics;
use proto_address::external;
use std::fmt::Write;

/// A message was taken up for delivery.
pub struct Active<'a> {
    /// Queue id.
    pub id: QueueId,
    /// Sender, in internal form.
    pub from: &'a str,
    /// Size as Postfix counts it.
    pub size: u64,
    /// Recipients of the envelope, finished ones included.
    pub nrcpt: usize,
}

impl Line for Active<'_> {
    fn event(&self) -> &'static str {
        "active"
    }

    fn text(&self, out: &mut String) {
        let Self { id, size, nrcpt, .. } = self;
        let from = external(self.from);
        let _ = write!(out, "{id}: from=<{from}>, size={size}, nrcpt={nrcpt} (queue active)");
    }

    fn count(&self, _: &Source, metrics: &Metrics) {
        metrics.queue.activated.add_one();
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str, &str)) {
        each("queue_id", &self.id.to_string());
        each("from", self.from);
        each("size", &self.size.to_string());
        each("nrcpt", &self.nrcpt.to_string());
    }
}
