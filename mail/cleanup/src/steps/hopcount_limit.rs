//! `hopcount_limit`: as many Received: headers mean a loop. RFC 5321 6.3.

use super::{HeaderWork, Phase, Step};
use crate::{message::Message, reply};
use proto_message::Id;

pub(super) const STEP: Step = Step { name: "hopcount_limit", phase: Phase::Header(run) };

fn run(m: &mut Message, work: &mut HeaderWork<'_>) {
    if work.known.is_none_or(|k| k.id != Id::Received) {
        return;
    }
    m.hops = m.hops.saturating_add(1);
    if m.hops == m.config().hopcount_limit {
        m.fail(reply::too_many_hops());
        if m.failed() {
            m.warn("message rejected: hopcount exceeded");
        }
    }
}
