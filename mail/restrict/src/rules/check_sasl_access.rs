//! `check_sasl_access type:table`: the name that the client logged in with. access(5).

use super::{Context, Rule};
use crate::{
    Verdict,
    verdict::{Answer, Kind, Subject},
};

pub(crate) static RULE: Rule = Rule::table("check_sasl_access", check);

fn check(c: Context<'_>) -> Answer<'_> {
    if !c.has_sasl(&[c.rule.name]) {
        return Verdict::Dunno.into();
    }
    let Some(name) = c.facts.sasl_username() else { return Verdict::Dunno.into() };
    Answer::later(async move { c.lookup(Subject::new(name, Kind::Login), |l| l.exactly(name)).await })
}
