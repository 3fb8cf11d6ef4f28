//! `reject_unlisted_sender`: the sender is in a domain of ours, but no table of that domain lists it.

use super::{Context, Rule, unlisted::unlisted};
use crate::{Verdict, verdict::Answer};

pub(crate) static RULE: Rule = Rule::new("reject_unlisted_sender", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((sender, subject)) = c.sender() else { return Verdict::Dunno.into() };
    Answer::later(async move { unlisted(&c, sender, &subject).await })
}
