//! `ID: from=<…>, status=expired, returned to sender` (qmgr).

use super::Line;
use crate::Source;
use base_calls::QueueId;
use base_metrics::Metrics;
use proto_address::external;
use std::fmt::Write;

/// A message was in the queue for too long.
pub struct Expired<'a> {
    /// Queue id.
    pub id: QueueId,
    /// Sender, in internal form.
    pub from: &'a str,
    /// By the administrator (`postsuper -e`): `force-expired`.
    pub forced: bool,
}

impl Line for Expired<'_> {
    fn event(&self) -> &'static str {
        "expired"
    }

    fn text(&self, out: &mut String) {
        let status = if self.forced { "force-expired" } else { "expired" };
        let _ =
            write!(out, "{}: from=<{}>, status={status}, returned to sender", self.id, external(self.from));
    }

    fn count(&self, _: &Source, metrics: &Metrics) {
        metrics.queue.expired.add_one();
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str, &str)) {
        each("queue_id", &self.id.to_string());
        each("from", self.from);
        each("status", if self.forced { "force-expired" } else { "expired" });
    }
}
