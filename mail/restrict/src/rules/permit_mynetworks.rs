//! `permit_mynetworks`: the client is in `mynetworks`.

use super::{Ahead, Context, Permits, Rule, lookup_failure};
use crate::{Verdict, verdict::Answer};
use base_tables::TableError;

pub(crate) static RULE: Rule =
    Rule { permits: Permits::Client, ahead: Ahead::Client, ..Rule::new("permit_mynetworks", check) };

fn check(c: Context<'_>) -> Answer<'_> {
    let client = c.facts.client;
    let Some(ip) = client.ip else { return Verdict::Permit.into() };
    let list = &c.restrict.matches.mynetworks;
    match list.matches_client_now(&client.name, ip) {
        Some(answer) => verdict(&c, answer).into(),
        None => Answer::later(async move { verdict(&c, list.matches_client(&client.name, ip).await) }),
    }
}

fn verdict(c: &Context<'_>, answer: Result<bool, TableError>) -> Verdict {
    match answer {
        Ok(true) => Verdict::Permit,
        Ok(false) => Verdict::Dunno,
        Err(_) => Verdict::Reject(lookup_failure(c.subject)),
    }
}
