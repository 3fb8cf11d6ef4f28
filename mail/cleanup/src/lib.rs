//! The second stage of a message: cleanup(8). Content streams in from receive, pickup, bounce or local forwarding, is
//! completed and rewritten, and ends in the spool; the scheduler hears of it when it is durable.
//!
//! What happens on the way is a list of steps, one file each, in [`steps::STEPS`]: envelope addresses when the content
//! starts, each header as it passes (those of attached messages and parts too), body lines where checks want to see
//! them, the end of the header section, the end of the message. The content is read once; a body that nobody looks at
//! passes in bulk. Memory per message is bounded by the chunk that is handed in, one header, one line, the recipients,
//! and the spool's threshold for large messages.
//!
//! Errors answer as Postfix does and are remembered: whatever follows is read and thrown away, [`Submission::finish`]
//! returns the error, and nothing is kept. For local submission a permanent error becomes a notice to the sender.
//!
//! [`Submission::finish`]: base_calls::Submission::finish

mod addresses;
mod authentication;
mod characters;
mod checks;
mod config;
mod edits;
mod message;
mod milter_size;
mod milters;
mod output;
mod recipients;
mod reply;
mod size;
pub mod steps;
mod stray;

pub use authentication::{Around, AuthenticationConfig};
pub use checks::{Fate, Inspected};
pub use config::{Classes, CleanupConfig};
pub use size::RecordSize;

use addresses::Mappings;
use base_calls::{Arrivals, Envelope, Notifier, Route, Submission, Submit, SubmitError, SubmitOptions};
use base_log::Log;
use base_spool::Spool;
use base_tables::Tables;
use std::sync::{Arc, OnceLock, Weak};

/// What every message of this configuration shares.
pub(crate) struct Core {
    pub config: Arc<CleanupConfig>,
    pub spool: Arc<dyn Spool>,
    pub route: Arc<dyn Route>,
    pub arrivals: Arc<dyn Arrivals>,
    pub mappings: Mappings,
    pub checks: checks::Checks,
    pub log: Log,
    /// Nothing until it is set; nothing inside when it is not configured.
    pub authentication: OnceLock<Option<authentication::Authentication>>,
    /// Weak: the notifier holds this stage.
    pub notifier: OnceLock<Weak<dyn Notifier>>,
}

/// The cleanup stage.
#[derive(Clone)]
pub struct Cleanup {
    core: Arc<Core>,
}

impl Cleanup {
    /// Opens the tables of `config`.
    pub fn new(
        config: Arc<CleanupConfig>,
        spool: Arc<dyn Spool>,
        route: Arc<dyn Route>,
        arrivals: Arc<dyn Arrivals>,
        tables: &Arc<Tables>,
        log: Log,
    ) -> Self {
        let mappings = Mappings::open(&config, tables);
        let checks = checks::Checks::open(&config, tables);
        let (notifier, authentication) = (OnceLock::new(), OnceLock::new());
        Self {
            core: Arc::new(Core {
                config,
                spool,
                route,
                arrivals,
                mappings,
                checks,
                log,
                authentication,
                notifier,
            }),
        }
    }

    /// Lets mail be judged and signed as configured; without this, it is not.
    pub fn set_authentication(&self, around: &Around<'_>) {
        let opened = authentication::Authentication::open(&self.core.config, around);
        let _ = self.core.authentication.set(opened);
    }

    /// Tells who writes notices, for errors of messages that nobody waits for ([`SubmitOptions::bounce_errors`]).
    /// The notifier submits through this stage, so it can only be made after it; it is not kept alive by it. Without
    /// one such errors are returned like any other.
    pub fn set_notifier(&self, notifier: Arc<dyn Notifier>) {
        let _ = self.core.notifier.set(Arc::downgrade(&notifier));
    }
}

impl Core {
    /// Who writes notices, while there is somebody.
    pub fn notifier(&self) -> Option<Arc<dyn Notifier>> {
        self.notifier.get()?.upgrade()
    }
}

impl Submit for Cleanup {
    fn open(&self, envelope: Envelope, options: SubmitOptions) -> Result<Box<dyn Submission>, SubmitError> {
        let message = message::Message::open(self.core.clone(), envelope, options)?;
        Ok(Box::new(message))
    }
}
