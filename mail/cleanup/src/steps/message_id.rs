//! `QID: message-id=<…>` in the log, for each Message-ID header, or empty at the end when there is none.

use super::{HeaderWork, Phase, Step};
use crate::message::Message;
use base_log::lines::MessageId;
use proto_message::Id;

pub(super) const STEP: Step = Step { name: "message-id", phase: Phase::Header(run) };
/// When none passed and none was added.
pub(super) const UNSEEN: Step = Step { name: "message-id (none)", phase: Phase::EndOfHeaders(unseen) };

fn run(m: &mut Message, work: &mut HeaderWork<'_>) {
    let Some(known) = work.known else { return };
    m.seen.add(known.id);
    let resent = match known.id {
        Id::MessageId => false,
        Id::ResentMessageId => true,
        _ => return,
    };
    let value = String::from_utf8_lossy(work.header.value()).into_owned();
    log(m, &value, resent);
    if !resent {
        m.envelope.message_id = value;
    }
}

fn unseen(m: &mut Message) {
    if !m.seen.has(Id::MessageId) {
        log(m, "<>", false);
    }
}

/// Writes the line.
pub(super) fn log(m: &Message, value: &str, resent: bool) {
    m.core.log.line(&m.source, &MessageId { id: m.id, value, resent });
}
