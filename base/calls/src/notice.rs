//! Notices: bounces, delay warnings, success reports, and copies to postmaster.

use crate::{Diagnosis, Fut, QueueId, Queued};
use std::sync::Arc;

/// The kinds of notice (bounce(8), bounce(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    /// Undeliverable: to the sender, or to `2bounce_notice_recipient` when the sender is a bounce itself.
    Failed,
    /// Delayed (`delay_warning_time`).
    Delayed,
    /// Delivered, relayed, expanded.
    Success,
}

/// One notice about several recipients of one message.
#[derive(Debug, Clone)]
pub struct Notice {
    /// What it is.
    pub kind: NoticeKind,
    /// The message.
    pub message: Arc<Queued>,
    /// Envelope index and reason of each recipient, in envelope order.
    pub recipients: Vec<(u32, Diagnosis)>,
}

/// Writes notices. Implemented by mail/bounce.
pub trait Notifier: Send + Sync {
    /// Sends the notice that is due, if one is (NOTIFY=NEVER, a null sender, `notify_classes`). Returns the queue id
    /// of the notice to the sender. `Err` when it could not be queued now; the caller tries again later.
    fn notify(&self, notice: Notice) -> Fut<'_, Result<Option<QueueId>, crate::SubmitError>>;
}
