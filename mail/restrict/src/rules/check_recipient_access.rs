//! `check_recipient_access type:table`: the recipient, its domain and parents, `user@`. access(5).

use super::{Context, Rule, addresses::lookup_key};
use crate::{Verdict, verdict::Answer};

pub(crate) static RULE: Rule = Rule::table("check_recipient_access", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((recipient, subject)) = c.recipient() else { return Verdict::Dunno.into() };
    Answer::later(async move {
        match lookup_key(&c, recipient, &subject).await {
            Ok(key) => c.lookup(subject, |l| async move { l.mail(&key).await }).await,
            Err(verdict) => verdict,
        }
    })
}
