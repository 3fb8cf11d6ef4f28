//! `ID: removed` (qmgr).

use super::Line;
use base_calls::QueueId;

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

    fn fields(&self, each: &mut dyn FnMut(&'static str, &str)) {
        each("queue_id", &self.id.to_string());
    }
}
