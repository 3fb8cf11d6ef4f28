//! `check_etrn_access type:table`: the domain of ETRN and its parents. access(5).

use super::{Context, Rule};
use crate::{
    Verdict,
    verdict::{Answer, Kind, Subject},
};

pub(crate) static RULE: Rule = Rule::table("check_etrn_access", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some(domain) = c.facts.etrn else { return Verdict::Dunno.into() };
    Answer::later(async move { c.lookup(Subject::new(domain, Kind::Etrn), |l| l.domain(domain)).await })
}
