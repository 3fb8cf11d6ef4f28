//! `HOLD`: put the message on hold. access(5).

use super::{Action, Effect, Entry};
use base_calls::MessageAction;

pub(super) static ACTION: Action = Action { name: "HOLD", effect };

fn effect(entry: &Entry<'_>) -> Effect {
    let text = if entry.text.is_empty() { "triggers HOLD action" } else { entry.text };
    Effect::Message { log: "hold", text: entry.log_text(text), action: Some(MessageAction::Hold) }
}
