//! `check_sender_access type:table`: the sender, its domain and parents, `user@`; the null sender as
//! `smtpd_null_access_lookup_key`. access(5).

use super::{Context, Rule, addresses::lookup_key};
use crate::{Verdict, verdict::Answer};

pub(crate) static RULE: Rule = Rule::table("check_sender_access", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((sender, subject)) = c.sender() else { return Verdict::Dunno.into() };
    Answer::later(async move {
        if sender.is_empty() {
            return c.lookup(subject, |l| l.exactly(&c.restrict.config.null_key)).await;
        }
        match lookup_key(&c, sender, &subject).await {
            Ok(key) => c.lookup(subject, |l| async move { l.mail(&key).await }).await,
            Err(verdict) => verdict,
        }
    })
}
