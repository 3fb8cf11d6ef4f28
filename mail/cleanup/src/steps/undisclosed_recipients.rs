//! `undisclosed_recipients_header` for a message without To: and Cc:.

use super::{Phase, Step};
use crate::message::Message;
use proto_message::Id;

pub(super) const STEP: Step = Step { name: "undisclosed_recipients_header", phase: Phase::EndOfHeaders(run) };

fn run(m: &mut Message) {
    let header = m.config().undisclosed_recipients_header.clone();
    if header.is_empty() || (m.header_context().is_none() && !m.config().always_add_missing_headers) {
        return;
    }
    let named = [Id::To, Id::Cc, Id::ResentTo, Id::ResentCc];
    if !named.into_iter().any(|id| m.seen.has(id)) {
        m.added.extend_from_slice(header.as_bytes());
        m.added.extend_from_slice(b"\r\n");
    }
}
