//! `check_relay_domains`: permits mail for domains of ours and refuses the rest. Removed in Postfix 3.9; does what it did.

use super::{Ahead, Context, Permits, Rule, deprecated, permit_auth_destination::unless_authorized};
use crate::{Verdict, verdict::Answer};
use proto_dsn::Status;

pub(crate) static RULE: Rule =
    Rule { permits: Permits::Recipient, ahead: Ahead::Ends, ..Rule::closing("check_relay_domains", check) };

fn check(c: Context<'_>) -> Answer<'_> {
    c.warning(deprecated("check_relay_domains", "reject_unauth_destination"));
    let refuse = unless_authorized(c, c.restrict.config.codes.relay_domains, Status::new(5, 7, 1));
    Answer::later(async move {
        match refuse.verdict().await {
            Verdict::Dunno => Verdict::Permit,
            other => other,
        }
    })
}
