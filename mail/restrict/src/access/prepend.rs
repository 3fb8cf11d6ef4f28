//! `PREPEND`: add a header field at the top of the message. access(5).

use super::{Action, Effect, Entry};
use base_calls::MessageAction;

pub(super) static ACTION: Action = Action { name: "PREPEND", effect };

fn effect(entry: &Entry<'_>) -> Effect {
    let is_header = entry.text.split_once(':').is_some_and(|(name, _)| is_field_name(name));
    if !is_header {
        return Effect::BadEntry("header: text");
    }
    let action = MessageAction::Prepend(entry.text.as_bytes().to_vec());
    Effect::Message { log: "", text: String::new(), action: Some(action) }
}

fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())
}
