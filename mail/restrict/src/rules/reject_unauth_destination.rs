//! `reject_unauth_destination`: mail that is neither for us nor ours to forward is refused (`relay_domains_reject_code`).

use super::{Context, Rule, permit_auth_destination::authorized};
use crate::{Refusal, Verdict, verdict::Answer};
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::closing("reject_unauth_destination", check);

fn check(c: Context<'_>) -> Answer<'_> {
    Answer::later(async move {
        match authorized(&c).await {
            Ok(true) => Verdict::Dunno,
            Ok(false) => Verdict::Reject(refusal(&c)),
            Err(verdict) => verdict,
        }
    })
}

fn refusal(c: &Context<'_>) -> Refusal {
    let text = format!("<{}>: Relay access denied", c.facts.recipient.unwrap_or_default());
    Refusal::new(c.restrict.config.codes.relay_domains, Status::new(5, 7, 1), text)
}
