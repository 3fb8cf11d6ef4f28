//! Messages that enter and leave the queue: counted with the lines of qmgr.

use crate::{Counter, Page};

/// The queue's gate.
#[derive(Debug, Default)]
pub struct Queue {
    /// Taken up for delivery (`queue active`), each attempt.
    pub activated: Counter,
    /// Gone for good.
    pub removed: Counter,
    /// Returned to the sender because they were too old.
    pub expired: Counter,
}

impl Queue {
    pub(crate) fn write(&self, page: &mut Page) {
        let activated = self.activated.get();
        page.counter(
            "hikyaku_queue_activated_total",
            "Messages taken up for delivery, counted each time.",
            activated,
        );
        page.counter("hikyaku_queue_removed_total", "Messages that left the queue.", self.removed.get());
        page.counter(
            "hikyaku_queue_expired_total",
            "Messages returned because of their age.",
            self.expired.get(),
        );
    }
}
