//! `reject_unauth_destination`: mail that is neither for us nor ours to forward is refused (`relay_domains_reject_code`).

use super::{Context, Rule, permit_auth_destination::unless_authorized};
use crate::verdict::Answer;
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::closing("reject_unauth_destination", check);

fn check(c: Context<'_>) -> Answer<'_> {
    unless_authorized(c, c.restrict.config.codes.relay_domains, Status::new(5, 7, 1))
}
