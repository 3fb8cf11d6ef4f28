//! `reject_unknown_sender_domain`: the domain of the sender has neither MX nor address (`unknown_address_reject_code`).

use super::{Context, Rule, addresses::unknown_domain};
use crate::{Verdict, verdict::Answer};

pub(crate) static RULE: Rule = Rule::new("reject_unknown_sender_domain", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((sender, subject)) = c.sender() else { return Verdict::Dunno.into() };
    Answer::later(async move { unknown_domain(&c, sender, &subject).await })
}
