//! `check_helo_access type:table`: the HELO name and its parents. access(5).

use super::{Context, Rule};
use crate::{Verdict, verdict::Answer};

pub(crate) static RULE: Rule = Rule::table("check_helo_access", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((helo, subject)) = c.helo() else { return Verdict::Dunno.into() };
    Answer::later(async move { c.lookup(subject, |l| l.domain(helo)).await })
}
