//! `ID: message-id=<…>` (cleanup).

use super::Line;
use base_calls::QueueId;

/// The Message-ID of a message.
pub struct MessageId<'a> {
    /// Queue id.
    pub id: QueueId,
    /// The header's value, with its angle brackets; empty when there is none.
    pub value: &'a str,
    /// The value of a Resent-Message-Id header instead.
    pub resent: bool,
}

impl Line for MessageId<'_> {
    fn event(&self) -> &'static str {
        "message-id"
    }

    fn text(&self, out: &mut String) {
        out.push_str(&self.id.to_string());
        out.push_str(if self.resent { ": resent-message-id=" } else { ": message-id=" });
        out.push_str(self.value);
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str, &str)) {
        each("queue_id", &self.id.to_string());
        each(if self.resent { "resent_message_id" } else { "message_id" }, self.value);
    }
}
