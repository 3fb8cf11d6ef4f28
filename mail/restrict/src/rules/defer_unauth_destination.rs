//! `defer_unauth_destination`: mail that is neither for us nor ours to forward is refused for now.

use super::{Context, Rule, permit_auth_destination::unless_authorized};
use crate::verdict::Answer;
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::closing("defer_unauth_destination", check);

fn check(c: Context<'_>) -> Answer<'_> {
    unless_authorized(c, 454, Status::new(4, 7, 1))
}
