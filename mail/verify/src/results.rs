//! The results of probes, out of the notices about them.

use crate::Verifier;
use base_calls::{Deliverable, Diagnosis, Fut, Notice, Notifier, QueueId, SubmitError};
use std::sync::Arc;

/// A notifier that keeps notices about probes to itself and passes on the others.
pub struct ProbeResults {
    verifier: Verifier,
    others: Arc<dyn Notifier>,
}

impl ProbeResults {
    /// Before `others`.
    pub fn new(verifier: Verifier, others: Arc<dyn Notifier>) -> Self {
        Self { verifier, others }
    }

    fn take(&self, notice: &Notice) {
        for (index, diagnosis) in &notice.recipients {
            let recipient =
                usize::try_from(*index).ok().and_then(|i| notice.message.envelope.recipients.get(i));
            if let Some(r) = recipient {
                let address = if r.original.is_empty() { &r.address } else { &r.original };
                self.verifier.shared.update(address, status(diagnosis), &diagnosis.reason);
            }
        }
    }
}

fn status(d: &Diagnosis) -> Deliverable {
    match (d.action.as_deref(), d.status.class()) {
        (Some("deliverable"), _) | (_, 2) => Deliverable::Yes,
        (_, 5) => Deliverable::No,
        _ => Deliverable::Deferred,
    }
}

impl Notifier for ProbeResults {
    fn notify(&self, notice: Notice) -> Fut<'_, Result<Option<QueueId>, SubmitError>> {
        if !notice.message.envelope.is_probe() {
            return self.others.notify(notice);
        }
        self.take(&notice);
        Box::pin(std::future::ready(Ok(None)))
    }
}
