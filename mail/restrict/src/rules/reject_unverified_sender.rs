//! `reject_unverified_sender`: a probe says that the sender cannot be delivered to (ADDRESS_VERIFICATION_README).

use super::{Context, Rule, unverified::unverified};
use crate::{Verdict, verdict::Answer};

pub(crate) static RULE: Rule = Rule::new("reject_unverified_sender", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((address, subject)) = c.sender() else { return Verdict::Dunno.into() };
    Answer::later(
        async move { unverified(&c, address, &subject, &c.restrict.config.unverified_sender).await },
    )
}
