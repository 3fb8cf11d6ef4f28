//! `permit_auth_destination`: mail for a domain of ours, without routing that the sender wishes.

use super::{Context, Permits, Rule, lookup_failure};
use crate::{Refusal, Verdict, verdict::Answer};
use base_calls::AddressClass;
use proto_dsn::Status;

pub(crate) static RULE: Rule =
    Rule { permits: Permits::Recipient, ..Rule::new("permit_auth_destination", check) };

fn check(c: Context<'_>) -> Answer<'_> {
    if c.recipient().is_none() {
        return Verdict::Dunno.into();
    }
    Answer::later(async move {
        match authorized(&c).await {
            Ok(true) => Verdict::Permit,
            Ok(false) => Verdict::Dunno,
            Err(refusal) => refusal,
        }
    })
}

/// Whether the recipient is one that we take mail for. Without a recipient there is nothing to refuse.
pub(super) async fn authorized(c: &Context<'_>) -> Result<bool, Verdict> {
    let Some((recipient, subject)) = c.recipient() else { return Ok(true) };
    match c.resolve(recipient).await {
        Ok(r) => {
            let routed = r.routed && !c.restrict.config.untrusted_routing;
            Ok(!routed && r.class != AddressClass::Default)
        }
        Err(_) => Err(Verdict::Reject(lookup_failure(&subject))),
    }
}

/// Refuses mail that is neither for us nor ours to forward.
pub(super) fn unless_authorized(c: Context<'_>, code: u16, status: Status) -> Answer<'_> {
    Answer::later(async move {
        match authorized(&c).await {
            Ok(true) => Verdict::Dunno,
            Ok(false) => {
                let text = format!("<{}>: Relay access denied", c.facts.recipient.unwrap_or_default());
                Verdict::Reject(Refusal::new(code, status, text))
            }
            Err(verdict) => verdict,
        }
    })
}
