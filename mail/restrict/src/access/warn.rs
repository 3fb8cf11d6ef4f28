//! `WARN`: log a warning and go on. access(5).

use super::{Action, Effect, Entry};

pub(super) static ACTION: Action = Action { name: "WARN", effect };

fn effect(entry: &Entry<'_>) -> Effect {
    Effect::Message { log: "warn", text: entry.text.to_owned(), action: None }
}
