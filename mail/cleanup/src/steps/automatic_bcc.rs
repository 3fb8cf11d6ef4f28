//! `sender_bcc_maps`, `recipient_bcc_maps`, `always_bcc` and the BCC action: more recipients, about whose delivery nobody
//! is told.

use super::{Phase, Step};
use crate::{message::Message, recipients::RecipientError};
use base_calls::{Fut, Notify, Recipient, RewriteContext};

pub(super) const STEP: Step = Step { name: "always_bcc", phase: Phase::End(run) };

fn run(m: &mut Message) -> Fut<'_, ()> {
    Box::pin(async move {
        if let Err(e) = add_copies(m).await {
            let sender = m.envelope.sender.clone();
            m.fail_mapping(&e, &sender);
        }
    })
}

async fn add_copies(m: &mut Message) -> Result<(), RecipientError> {
    let mut copies = Vec::new();
    if m.options.bcc && !m.core.mappings.sender_bcc.is_empty() && !m.envelope.sender.is_empty() {
        let maps = &m.core.mappings.sender_bcc;
        let found = m.mapper().find(maps, &m.envelope.sender, false).await;
        let found = found.map_err(|_| RecipientError::Lookup(maps.title().to_owned()))?;
        copies.extend(found.into_iter().flatten());
    }
    copies.append(&mut m.copies);
    if m.options.bcc && !m.config().always_bcc.is_empty() {
        copies.push(m.config().always_bcc.clone());
    }
    for given in copies {
        let address = m.core.route.rewrite(RewriteContext::Local, &given);
        let notify = Notify { never: true, ..Notify::default() };
        let recipient = Recipient { original: address.clone(), address, notify, ..Recipient::default() };
        super::envelope_recipients::add(m, recipient).await?;
    }
    Ok(())
}
