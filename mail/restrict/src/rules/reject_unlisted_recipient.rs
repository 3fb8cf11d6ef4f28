//! `reject_unlisted_recipient` (once `check_recipient_maps`): the recipient is in a domain of ours, but no table of that domain lists it.

use super::{Context, Rule, unlisted::unlisted};
use crate::{Verdict, verdict::Answer};

pub(crate) static RULE: Rule = Rule::new("reject_unlisted_recipient", check);
pub(crate) static OLD_NAME: Rule = Rule::new("check_recipient_maps", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((recipient, subject)) = c.recipient() else { return Verdict::Dunno.into() };
    Answer::later(async move { unlisted(&c, recipient, &subject).await })
}
