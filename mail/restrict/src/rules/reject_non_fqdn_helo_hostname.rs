//! `reject_non_fqdn_helo_hostname` (once `reject_non_fqdn_hostname`): the HELO name has no domain
//! (`non_fqdn_reject_code`).

use super::{
    Context, Rule,
    hosts::{literal, qualified, valid_literal},
};
use crate::{Refusal, Verdict, verdict::Answer};
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::new("reject_non_fqdn_helo_hostname", check);
pub(crate) static OLD_NAME: Rule = Rule::new("reject_non_fqdn_hostname", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((helo, subject)) = c.helo() else { return Verdict::Dunno.into() };
    if literal(helo).map_or_else(|| qualified(helo), valid_literal) {
        return Verdict::Dunno.into();
    }
    let code = c.restrict.config.codes.non_fqdn;
    Verdict::Reject(Refusal::of(&subject, code, Status::new(5, 5, 2), "need fully-qualified hostname")).into()
}
