//! `reject_unknown_sender_domain` (once `reject_unknown_address`): the domain of the sender has neither MX nor address (`unknown_address_reject_code`).

use super::{Context, Rule, addresses::unknown_domain};
use crate::{Verdict, verdict::Answer};

pub(crate) static RULE: Rule = Rule::new("reject_unknown_sender_domain", check);
pub(crate) static OLD_NAME: Rule = Rule::new("reject_unknown_address", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((sender, subject)) = c.sender() else { return Verdict::Dunno.into() };
    Answer::later(async move { unknown_domain(&c, sender, &subject).await })
}
