//! `check_policy_service server`: another program decides (SMTPD_POLICY_README). Its action is what an access table would
//! say.

use super::{Argument, Context, Rule};
use crate::{
    Refusal, Verdict,
    list::Arg,
    verdict::{Answer, Found},
};

pub(crate) static RULE: Rule =
    Rule { argument: Argument::Policy, ..Rule::new("check_policy_service", check) };

fn check(c: Context<'_>) -> Answer<'_> {
    let Arg::Policy(server) = c.arg else { return Verdict::Reject(Refusal::configuration()).into() };
    Answer::later(async move {
        let value = c.restrict.policy(server, c.facts).await;
        let (table, key, subject) = (server.spec.clone(), String::new(), c.subject.clone());
        Verdict::Found(Box::new(Found { table, key, value, subject }))
    })
}
