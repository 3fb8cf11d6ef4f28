//! `FILTER`: send the message through a content filter. access(5).

use super::{Action, Effect, Entry};
use base_calls::MessageAction;

pub(super) static ACTION: Action = Action { name: "FILTER", effect };

fn effect(entry: &Entry<'_>) -> Effect {
    if !entry.text.contains(':') {
        return Effect::BadEntry("transport:destination");
    }
    let text = entry.log_text(&format!("triggers FILTER {}", entry.text));
    Effect::Message { log: "filter", text, action: Some(MessageAction::Filter(entry.text.to_owned())) }
}
