//! `reject_unlisted_recipient`: the recipient is in a domain of ours, but no table of that domain lists it.

use super::{Context, Rule, unlisted::unlisted};
use crate::{Verdict, verdict::Answer};

pub(crate) static RULE: Rule = Rule::new("reject_unlisted_recipient", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((recipient, subject)) = c.recipient() else { return Verdict::Dunno.into() };
    Answer::later(async move { unlisted(&c, recipient, &subject).await })
}
