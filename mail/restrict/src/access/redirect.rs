//! `REDIRECT`: send the message to this address instead. access(5).

use super::{Action, Effect, Entry};
use base_calls::MessageAction;

pub(super) static ACTION: Action = Action { name: "REDIRECT", effect };

fn effect(entry: &Entry<'_>) -> Effect {
    if !entry.text.contains('@') {
        return Effect::BadEntry("user@domain target");
    }
    let text = entry.log_text(&format!("triggers REDIRECT {}", entry.text));
    Effect::Message { log: "redirect", text, action: Some(MessageAction::Redirect(entry.text.to_owned())) }
}
