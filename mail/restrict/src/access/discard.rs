//! `DISCARD`: claim success and keep nothing. access(5).

use super::{Action, Effect, Entry};
use base_calls::MessageAction;

pub(super) static ACTION: Action = Action { name: "DISCARD", effect };

fn effect(entry: &Entry<'_>) -> Effect {
    let text = if entry.text.is_empty() { "triggers DISCARD action" } else { entry.text };
    Effect::Message { log: "discard", text: entry.log_text(text), action: Some(MessageAction::Discard) }
}
