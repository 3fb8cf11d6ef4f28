//! `queue`: what waits, how old it is, and whether it grows, as the running server counts it.

use super::super::{Check, Finding, Level};
use crate::server;
use std::{path::Path, time::Duration};

/// So many deferred messages are worth a look.
const MANY: f64 = 1000.0;

/// The record.
pub const CHECK: Check = Check {
    name: "queue",
    about: "deferred mail: how much, how old, whether it grows",
    limit: Duration::from_secs(12),
    look: |ground| {
        Box::pin(async {
            let queue = ground.value("queue_directory");
            let life = ground.config.time("maximal_queue_lifetime").unwrap_or_default();
            let asking = tokio::task::spawn_blocking(move || server::page(Path::new(&queue), "/metrics"));
            match asking.await.unwrap_or_else(|e| Err(e.into())) {
                Ok(page) => judge(&page, life),
                Err(e) => {
                    let why = base_sys::system_text(&e);
                    vec![(Level::Unknown, format!("the server does not run or does not answer: {why}"))]
                }
            }
        })
    },
};

/// Reads a page of metrics.
pub fn judge(page: &str, lifetime: Duration) -> Vec<Finding> {
    let deferred = |age: &str| {
        let labels = format!("state=\"deferred\",age=\"{age}\"");
        server::series(page, "hikyaku_queue_messages_by_age", &labels).unwrap_or(0.0)
    };
    let young = deferred("5m") + deferred("1h");
    let all = young + ["4h", "1d", "5d", "older"].into_iter().map(deferred).sum::<f64>();
    let oldest = server::series(page, "hikyaku_queue_oldest_seconds", "state=\"deferred\"").unwrap_or(0.0);
    let mut found = Vec::new();
    match () {
        () if all >= MANY && young > all / 2.0 => {
            found.push((
                Level::Problem,
                format!("{all} deferred messages, {young} of them within the last hour"),
            ));
        }
        () if all >= MANY => found.push((Level::Warning, format!("{all} deferred messages"))),
        () => found.push((Level::Ok, format!("{all} deferred messages"))),
    }
    if oldest > lifetime.as_secs_f64() * 0.8 && !lifetime.is_zero() {
        let hours = (oldest / 3600.0).round();
        found.push((
            Level::Warning,
            format!("the oldest message waits for {hours} hours and will soon be returned"),
        ));
    }
    found
}
