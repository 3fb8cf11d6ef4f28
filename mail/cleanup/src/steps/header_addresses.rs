//! Addresses in headers: standard form (`append_at_myorigin`, `append_dot_mydomain`), canonical maps, masquerading.
//! A header that changes is printed and folded anew; any other passes untouched. Headers of mail from remote clients
//! are left alone unless `remote_header_rewrite_domain` is set. ADDRESS_REWRITING_README.

use super::{HeaderWork, Phase, Step, Verdict};
use crate::{
    addresses::{Place, external_owned},
    message::Message,
    recipients::RecipientError,
};
use base_calls::Fut;
use proto_message::AddressHeader;

pub(super) const STEP: Step = Step { name: "header_addresses", phase: Phase::HeaderMaps { wanted, run } };

fn wanted(m: &Message, work: &HeaderWork<'_>) -> bool {
    work.known.is_some_and(|k| k.sender || k.recipient)
        && work.verdict == Verdict::Keep
        && m.header_context().is_some()
}

fn run<'a>(m: &'a mut Message, work: &'a mut HeaderWork<'_>) -> Fut<'a, ()> {
    Box::pin(async move {
        match rewritten(m, work).await {
            Ok(Some(text)) => work.verdict = Verdict::Replace(text),
            Ok(None) => {}
            Err(e) => {
                m.fail_mapping(&e, &String::from_utf8_lossy(work.header.name()));
            }
        }
    })
}

/// The header's new text, if it changes.
async fn rewritten(m: &mut Message, work: &HeaderWork<'_>) -> Result<Option<Vec<u8>>, RecipientError> {
    let Some(context) = m.header_context() else { return Ok(None) };
    let mapped = m.options.map_addresses && !m.config().maps_no_header();
    let sender = work.known.is_some_and(|k| k.sender);
    let place = if sender { Place::HeaderSender } else { Place::HeaderRecipient };
    let mut header = AddressHeader::parse(work.header.value(), m.config().header_address_token_limit);
    let mut changed = false;
    for mut address in header.addresses_mut() {
        let (before, given) = (address.source(), address.internal());
        if given.is_empty() {
            continue;
        }
        let mut new = m.core.route.rewrite(context, &given);
        if mapped {
            let result = m.mapper().canonical(new, place).await;
            new = result.map_err(|(maps, _)| RecipientError::Lookup(maps))?;
        }
        let after = external_owned(&new);
        if after != before {
            address.replace(&after);
            changed = true;
        }
    }
    Ok(changed.then(|| header.print(work.header.name())))
}
