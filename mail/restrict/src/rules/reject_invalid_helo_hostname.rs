//! `reject_invalid_helo_hostname` (once `reject_invalid_hostname`): the HELO name is no name
//! (`invalid_hostname_reject_code`).

use super::{
    Context, Rule,
    hosts::{literal, valid_literal, valid_name},
};
use crate::{Refusal, Verdict, verdict::Answer};
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::new("reject_invalid_helo_hostname", check);
pub(crate) static OLD_NAME: Rule = Rule::new("reject_invalid_hostname", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((helo, subject)) = c.helo() else { return Verdict::Dunno.into() };
    let text = match literal(helo) {
        Some(inside) if valid_literal(inside) => return Verdict::Dunno.into(),
        Some(_) => "invalid ip address",
        None if valid_name(helo) => return Verdict::Dunno.into(),
        None => "Invalid name",
    };
    let code = c.restrict.config.codes.invalid_hostname;
    Verdict::Reject(Refusal::of(&subject, code, Status::new(5, 5, 2), text)).into()
}
