//! `permit_inet_interfaces`: the client's address is one of our own (`inet_interfaces`).

use super::{Ahead, Context, Permits, Rule};
use crate::{Verdict, verdict::Answer};

pub(crate) static RULE: Rule =
    Rule { permits: Permits::Client, ahead: Ahead::Client, ..Rule::new("permit_inet_interfaces", check) };

fn check(c: Context<'_>) -> Answer<'_> {
    let own = &c.restrict.config.own_addresses;
    let ours = c.facts.client.ip.is_none_or(|ip| own.contains(&ip));
    if ours { Verdict::Permit.into() } else { Verdict::Dunno.into() }
}
