//! `reject_unverified_recipient`: a probe says that the recipient cannot be delivered to (ADDRESS_VERIFICATION_README).

use super::{Context, Rule, unverified::unverified};
use crate::{Verdict, verdict::Answer};

pub(crate) static RULE: Rule = Rule::new("reject_unverified_recipient", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((address, subject)) = c.recipient() else { return Verdict::Dunno.into() };
    Answer::later(
        async move { unverified(&c, address, &subject, &c.restrict.config.unverified_recipient).await },
    )
}
