//! `certificates`: what `postfix check` finds about them: files that are missing or do not fit, names that are not in them, the end
//! of their time.

use super::super::{Check, Level};
use mail_check::Severity;
use std::time::Duration;

/// The record.
pub const CHECK: Check = Check {
    name: "certificates",
    about: "certificates of the server: readable, with its name, not at their end",
    limit: Duration::from_secs(10),
    look: |ground| {
        Box::pin(async {
            let dir = ground.dir.clone();
            // Reads files and may wait for them: not on the thread of the other checks.
            let checking = tokio::task::spawn_blocking(move || mail_check::check(&crate::check::site(&dir)));
            let Ok(found) = checking.await else {
                return vec![(Level::Unknown, "the configuration cannot be checked".into())];
            };
            let about = found.into_iter().filter(|f| ["certificate", "tls-listeners"].contains(&f.rule));
            let mut all: Vec<_> = about
                .map(|f| match f.severity {
                    Severity::Error => (Level::Problem, f.to_string()),
                    Severity::Warning => (Level::Warning, f.to_string()),
                    Severity::Note => (Level::Ok, f.to_string()),
                })
                .collect();
            if all.is_empty() {
                all.push((Level::Ok, "no mistake in the certificates".into()));
            }
            all
        })
    },
};
