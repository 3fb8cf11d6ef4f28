//! `sendmail -t`: recipients from To:, Cc: and Bcc:, or from their `Resent-` forms when there are any.

use super::{HeaderWork, Phase, Step, resolve_pending};
use crate::message::Message;
use base_calls::{Fut, Recipient};
use proto_message::AddressHeader;

pub(super) const STEP: Step = Step { name: "recipients_from_header", phase: Phase::Header(collect) };
/// At the end of the content.
pub(super) const RESOLVE: Step =
    Step { name: "recipients_from_header (resolve)", phase: Phase::End(resolve) };

fn collect(m: &mut Message, work: &mut HeaderWork<'_>) {
    let Some(known) = work.known.filter(|k| k.extract && m.options.recipients_from_header) else { return };
    let header = AddressHeader::parse(work.header.value(), m.config().header_address_token_limit);
    let usable = |a: &String| !a.is_empty() && (!header.is_latin1() || a.is_ascii());
    let found: Vec<String> = header.addresses().filter(usable).collect();
    let [plain, resent] = &mut m.extracted;
    if known.resent { resent.extend(found) } else { plain.extend(found) }
}

fn resolve(m: &mut Message) -> Fut<'_, ()> {
    // A Resent-From: or Resent-Date: alone leaves the others in force.
    let resent = proto_message::KNOWN.iter().any(|k| k.resent && k.extract && m.seen.has(k.id));
    let [plain, from_resent] = std::mem::take(&mut m.extracted);
    let found = if resent { from_resent } else { plain };
    m.pending.extend(found.into_iter().map(|address| Recipient { address, ..Recipient::default() }));
    Box::pin(resolve_pending(m))
}
