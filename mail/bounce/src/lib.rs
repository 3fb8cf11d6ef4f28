//! Notices: bounces, delay warnings, success reports, copies to postmaster (bounce(8), bounce(5)).
//!
//! [`Bounce`] implements `base_calls::Notifier` for the scheduler. Deciding who is told what is pure ([`decide`]); the notice re-enters
//! cleanup with the null sender (or the double-bounce sender for postmaster). One notice per message and kind holds all its recipients.
//! On an error nothing was queued for the sender and the caller tries again later.

mod config;
mod decide;
#[cfg(test)]
mod tests;
mod write;

pub use config::BounceConfig;

use base_calls::{Fut, Notice, Notifier, QueueId, Submit, SubmitError};
use base_log::{Log, Source};
use std::sync::Arc;

/// Writes notices by one configuration.
pub struct Bounce {
    config: Arc<BounceConfig>,
    submit: Arc<dyn Submit>,
    log: Log,
    source: Source,
}

impl Bounce {
    /// A notifier that hands its notices to `submit` and logs as postfix/bounce.
    pub fn new(config: Arc<BounceConfig>, submit: Arc<dyn Submit>, log: Log) -> Self {
        let source = log.session_source(format!("{}/bounce", config.syslog_name));
        config.templates.warnings.iter().for_each(|w| log.warning(&source, w));
        Self { config, submit, log, source }
    }

    async fn send(&self, notice: &Notice) -> Result<Option<QueueId>, SubmitError> {
        let plan = decide::decide(&self.config, notice);
        if plan.discarded {
            let id = notice.message.id;
            self.log.warning(&self.source, format!("{id}: undeliverable postmaster notification discarded"));
        }
        if let Some(kind) = plan.unsent {
            let id = notice.message.id;
            let text = format!("{id}: not sending trace/success notification for {kind} message");
            self.log.info(&self.source, text);
        }
        let mut first = None;
        for letter in &plan.letters {
            let id = write::send(&self.config, &*self.submit, notice, letter).await?;
            for warning in write::template_warnings(&self.config, letter) {
                self.log.warning(&self.source, warning);
            }
            self.log.info(&self.source, format!("{}: {}: {id}", notice.message.id, letter.log_text()));
            first.get_or_insert(id);
        }
        Ok(first)
    }
}

impl Notifier for Bounce {
    fn notify(&self, notice: Notice) -> Fut<'_, Result<Option<QueueId>, SubmitError>> {
        Box::pin(async move { self.send(&notice).await })
    }
}
