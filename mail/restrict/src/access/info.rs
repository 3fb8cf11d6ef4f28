//! `INFO`: log the text and go on. access(5).

use super::{Action, Effect, Entry};

pub(super) static ACTION: Action = Action { name: "INFO", effect };

fn effect(entry: &Entry<'_>) -> Effect {
    Effect::Message { log: "info", text: entry.text.to_owned(), action: None }
}
