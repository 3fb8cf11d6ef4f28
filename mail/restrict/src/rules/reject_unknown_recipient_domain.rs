//! `reject_unknown_recipient_domain`: the domain of the recipient has neither MX nor address (`unknown_address_reject_code`).

use super::{Context, Rule, addresses::unknown_domain};
use crate::{Verdict, verdict::Answer};

pub(crate) static RULE: Rule = Rule::new("reject_unknown_recipient_domain", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((recipient, subject)) = c.recipient() else { return Verdict::Dunno.into() };
    Answer::later(async move { unknown_domain(&c, recipient, &subject).await })
}
