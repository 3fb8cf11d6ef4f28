//! The end of an attempt: notices, then removal or the time of the next attempt.
//!
//! Notices are queued before anything is forgotten: a crash in between sends one twice, never none.

use crate::driver::{Inner, Parts};
use crate::state::{Attempt, Fate};
use base_calls::{Diagnosis, Notice, NoticeKind, Queued, Timestamp};
use base_log::lines::{Expired, Removed};
use base_spool::SpoolError;
use std::sync::Arc;

impl Inner {
    /// Ends an attempt in a task of its own, where notices may take their time.
    pub(crate) fn end_aside(self: &Arc<Self>, attempt: Arc<Attempt>) {
        let inner = self.clone();
        self.spawn(async move { inner.end(attempt).await });
    }

    /// Writes down what the spool does not know yet.
    pub(crate) async fn save(&self, attempt: &Attempt) {
        let changes = attempt.ledger().take_unsaved();
        if changes.is_empty() || attempt.fate.get() == Fate::Delete {
            return;
        }
        if let Err(e) = self.spool.change(attempt.message.id, changes, false).await {
            self.spool_trouble(attempt, &e);
        }
    }

    fn spool_trouble(&self, attempt: &Attempt, error: &SpoolError) {
        if !matches!(error, SpoolError::NotFound | SpoolError::Closed) {
            self.log.warning(&self.source, format_args!("{}: {error}", attempt.message.id));
        }
    }

    /// The attempt is over: notices, then removal or the next time.
    pub(crate) async fn end(self: &Arc<Self>, attempt: Arc<Attempt>) {
        if attempt.fate.get() != Fate::Delete {
            self.notices(&attempt).await;
            self.settle(&attempt).await;
        }
        let config = self.parts.load().config.clone();
        let loads = {
            let mut state = self.state();
            state.release(&attempt);
            match attempt.fate.get() {
                Fate::Requeue => state.backlog.push_incoming(attempt.message.id),
                Fate::Deliver if !attempt.ledger().is_finished() => {
                    let at = attempt.ledger().progress().retry_at;
                    state.backlog.push_deferred(attempt.message.id, at);
                }
                _ => {}
            }
            if self.is_closing() { Vec::new() } else { state.take_loads(&config) }
        };
        self.load(loads);
    }

    async fn notices(&self, attempt: &Attempt) {
        let parts = self.parts.load_full();
        let message = &attempt.message;
        let verdict = {
            let mut ledger = attempt.ledger();
            if ledger.is_silent() {
                return;
            }
            ledger.verdict(Timestamp::now(), &message.envelope, &parts.config)
        };
        if let Some(forced) = verdict.expired {
            self.log.line(&self.source, &Expired { id: message.id, from: &message.envelope.sender, forced });
        }
        if self.notify(&parts, message, NoticeKind::Failed, &verdict.failed).await {
            attempt.ledger().noticed(&verdict.failed);
        }
        if self.notify(&parts, message, NoticeKind::Success, &verdict.delivered).await {
            attempt.ledger().noticed(&verdict.delivered);
        }
        self.notify(&parts, message, NoticeKind::Success, &verdict.traced).await;
        if self.notify(&parts, message, NoticeKind::Delayed, &verdict.delayed).await {
            attempt.ledger().warned();
        }
    }

    /// Sends a notice if there is anybody to write about. False: nothing was sent, try again at the next attempt.
    async fn notify(
        &self,
        parts: &Parts,
        message: &Arc<Queued>,
        kind: NoticeKind,
        recipients: &[(u32, Diagnosis)],
    ) -> bool {
        if recipients.is_empty() {
            return false;
        }
        let notice = Notice { kind, message: message.clone(), recipients: recipients.to_vec() };
        match parts.notifier.notify(notice).await {
            Ok(_) => true,
            Err(e) => {
                self.log.warning(&self.source, format_args!("{}: notice not queued: {e}", message.id));
                false
            }
        }
    }

    /// Removes the message, or records when it is tried again.
    async fn settle(&self, attempt: &Attempt) {
        let id = attempt.message.id;
        let config = self.parts.load().config.clone();
        let finished = {
            let mut ledger = attempt.ledger();
            let finished = ledger.is_finished();
            if !finished && attempt.fate.get() == Fate::Deliver {
                ledger.retry(Timestamp::now(), &attempt.message.envelope, &config);
            }
            finished
        };
        if !finished {
            return self.save(attempt).await;
        }
        match self.spool.remove(id).await {
            Ok(()) => self.log.line(&self.source, &Removed { id }),
            Err(e) => self.spool_trouble(attempt, &e),
        }
    }
}
