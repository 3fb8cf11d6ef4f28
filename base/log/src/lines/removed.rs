//! `ID: removed` (qmgr).

use super::Line;
use crate::Source;
use base_calls::QueueId;
use base_metrics::Metrics;

/// A message left the queue.
pub struct Removed {
    /// Queue id.
    pub id: QueueId,
}

impl Line for Removed {
    fn event(&self) -> &'static str {
        "removed"
    }

    fn text(&self, out: &mut String) {
        out.push_str(&self.id.to_string());
        out.push_str(": removed");
    }

    fn count(&self, _: &Source, metrics: &Metrics) {
        metrics.queue.removed.add_one();
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str, &str)) {
        each("queue_id", &self.id.to_string());
    }
}
