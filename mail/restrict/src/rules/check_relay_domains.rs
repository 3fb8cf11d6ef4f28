//! `check_relay_domains`: permits mail for domains of ours and refuses the rest. Removed in Postfix 3.9; does what it did.

use super::{Ahead, Context, Permits, Rule, deprecated, permit_auth_destination::authorized};
use crate::{
    Refusal, Verdict,
    verdict::{Answer, Kind, Subject},
};
use proto_dsn::Status;

pub(crate) static RULE: Rule =
    Rule { permits: Permits::Recipient, ahead: Ahead::Ends, ..Rule::closing("check_relay_domains", check) };

fn check(c: Context<'_>) -> Answer<'_> {
    c.warning(deprecated("check_relay_domains", "reject_unauth_destination"));
    Answer::later(async move {
        match authorized(&c).await {
            Ok(true) => Verdict::Permit,
            Ok(false) => {
                let subject = Subject::new(c.facts.recipient.unwrap_or_default(), Kind::Recipient);
                let code = c.restrict.config.codes.relay_domains;
                Verdict::Reject(Refusal::of(&subject, code, Status::new(5, 7, 1), "Relay access denied"))
            }
            Err(verdict) => verdict,
        }
    })
}
