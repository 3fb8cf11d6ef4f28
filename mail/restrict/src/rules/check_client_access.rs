//! `check_client_access type:table`: the client's name, parent domains, address, networks. access(5).

use super::{Context, Rule};
use crate::verdict::Answer;

pub(crate) static RULE: Rule = Rule::table("check_client_access", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let client = c.facts.client;
    Answer::later(async move { c.lookup(c.client(), |l| l.client(&client.name, &client.addr)).await })
}
