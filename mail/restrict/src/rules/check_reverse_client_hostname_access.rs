//! `check_reverse_client_hostname_access type:table`: the unverified name of the client, and its parents. `OK`
//! is not allowed. access(5).

use super::{Context, Rule};
use crate::verdict::{Answer, Kind, Subject};

pub(crate) static RULE: Rule =
    Rule { forbids_ok: true, ..Rule::table("check_reverse_client_hostname_access", check) };

fn check(c: Context<'_>) -> Answer<'_> {
    let client = c.facts.client;
    let subject = Subject::new(client.reverse_name.clone(), Kind::ReverseClient);
    Answer::later(async move { c.lookup(subject, |l| l.domain(&client.reverse_name)).await })
}
