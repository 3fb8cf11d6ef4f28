//! Recipients in standard form, mapped by canonical maps, expanded by virtual_alias_maps, without duplicates.

use super::{Phase, Step};
use crate::{
    message::Message,
    recipients::{RecipientError, expand, prepare},
};
use base_calls::{Fut, Recipient};

pub(super) const STEP: Step = Step { name: "envelope_recipients", phase: Phase::Start(run) };

fn run(m: &mut Message) -> Fut<'_, ()> {
    Box::pin(resolve_pending(m))
}

/// Works out all recipients that are waiting.
pub(crate) async fn resolve_pending(m: &mut Message) {
    while let Some(given) = m.pending.pop_front() {
        let shown = given.address.clone();
        if let Err(e) = resolve(m, given).await {
            m.fail_mapping(&e, &shown);
            return;
        }
    }
}

async fn resolve(m: &mut Message, given: Recipient) -> Result<(), RecipientError> {
    let map = m.options.map_addresses;
    let recipient = prepare(m.mapper(), given, map).await?;
    if m.options.bcc && !m.core.mappings.recipient_bcc.is_empty() {
        copy_for(m, &recipient.address).await?;
    }
    add(m, recipient).await
}

/// `recipient_bcc_maps`.
async fn copy_for(m: &mut Message, address: &str) -> Result<(), RecipientError> {
    let maps = &m.core.mappings.recipient_bcc;
    let found = m.mapper().find(maps, address, false).await;
    let found = found.map_err(|_| RecipientError::Lookup(maps.title().to_owned()))?;
    m.copies.extend(found.into_iter().flatten());
    Ok(())
}

/// Adds a recipient in standard form: itself, or what its virtual alias stands for.
pub(super) async fn add(m: &mut Message, recipient: Recipient) -> Result<(), RecipientError> {
    let aliased = m.options.map_addresses && !m.core.mappings.virtual_alias.is_empty();
    let addresses = match aliased {
        true => expand(m.mapper(), &recipient.address).await?,
        false => vec![recipient.address.clone()],
    };
    let (with_original, limit) = (m.config().enable_original_recipient, m.config().duplicate_filter_limit);
    for address in addresses {
        let r = Recipient { address, ..recipient.clone() };
        if m.duplicates.is_new(&r, with_original, limit) {
            m.envelope.recipients.push(r);
        }
    }
    Ok(())
}
