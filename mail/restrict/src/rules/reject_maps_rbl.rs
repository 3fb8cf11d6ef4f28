//! `reject_maps_rbl`: the client's address is in one of `maps_rbl_domains`. Removed in Postfix 3.9; does what it did.

use super::{About, Context, Rule, deprecated};
use crate::{
    Verdict,
    dnslist::{Listed, refusal},
    verdict::{Answer, Kind},
};

pub(crate) static RULE: Rule = Rule { about: About::Address, ..Rule::new("reject_maps_rbl", check) };

fn check(c: Context<'_>) -> Answer<'_> {
    c.warning(deprecated("reject_maps_rbl", "reject_rbl_client domain-name"));
    let Some(who) = c.dns_key(true) else { return Verdict::Dunno.into() };
    Answer::later(async move {
        let key = who.key();
        for list in &c.restrict.config.dns.old_lists {
            if c.restrict.listed(list, key, c.facts).await.unwrap_or(false) {
                let (what, class) = (c.facts.client.addr.clone(), Kind::Client.class());
                return Verdict::Reject(refusal(&c, &Listed { list, key, what, class }).await);
            }
        }
        Verdict::Dunno
    })
}
