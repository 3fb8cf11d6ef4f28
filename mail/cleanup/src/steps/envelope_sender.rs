//! The sender in standard form, mapped by sender_canonical_maps, canonical_maps and masquerading.

use super::{Phase, Step};
use crate::{addresses::Place, message::Message, recipients::RecipientError};
use base_calls::{Fut, RewriteContext};

pub(super) const STEP: Step = Step { name: "envelope_sender", phase: Phase::Start(run) };

/// Works the sender out.
pub(crate) fn run(m: &mut Message) -> Fut<'_, ()> {
    Box::pin(async move {
        if m.envelope.sender.is_empty() {
            return;
        }
        let sender = m.core.route.rewrite(RewriteContext::Local, &m.envelope.sender);
        if !m.options.map_addresses {
            m.envelope.sender = sender;
            return;
        }
        match m.mapper().canonical(sender, Place::EnvelopeSender).await {
            Ok(sender) => m.envelope.sender = sender,
            Err((maps, _)) => {
                let sender = m.envelope.sender.clone();
                m.fail_mapping(&RecipientError::Lookup(maps), &sender);
            }
        }
    })
}
