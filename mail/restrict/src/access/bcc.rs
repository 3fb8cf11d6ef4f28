//! `BCC`: send a copy to this address. access(5).

use super::{Action, Effect, Entry};
use base_calls::MessageAction;

pub(super) static ACTION: Action = Action { name: "BCC", effect };

fn effect(entry: &Entry<'_>) -> Effect {
    if !entry.text.contains('@') {
        return Effect::BadEntry("user@domain target");
    }
    let text = entry.log_text(&format!("triggers BCC {}", entry.text));
    Effect::Message { log: "bcc", text, action: Some(MessageAction::Bcc(entry.text.to_owned())) }
}
