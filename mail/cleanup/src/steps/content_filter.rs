//! `content_filter`: unless a FILTER action named another, and not for the server's own notices.

use super::{Phase, Step};
use crate::message::Message;
use base_calls::Fut;

pub(super) const STEP: Step = Step { name: "content_filter", phase: Phase::End(run) };

fn run(m: &mut Message) -> Fut<'_, ()> {
    if m.options.filter && m.envelope.content_filter.is_empty() {
        m.envelope.content_filter = m.config().content_filter.clone();
    }
    Box::pin(std::future::ready(()))
}
