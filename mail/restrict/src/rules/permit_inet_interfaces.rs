//! `permit_inet_interfaces`: the client's address is one of our own (`inet_interfaces`).

use super::{Context, Rule};
use crate::{Verdict, verdict::Answer};
use std::net::IpAddr;

pub(crate) static RULE: Rule = Rule::new("permit_inet_interfaces", check);

fn check(c: Context<'_>) -> Answer<'_> {
    let ours = c.facts.client.ip.is_none_or(|ip| is_ours(&c, ip));
    if ours { Verdict::Permit.into() } else { Verdict::Dunno.into() }
}

fn is_ours(c: &Context<'_>, ip: IpAddr) -> bool {
    let listed = |text: &String| match text.trim_matches(['[', ']']) {
        "all" => ip.is_loopback() || c.facts.client.server_ip == Some(ip),
        "loopback-only" => ip.is_loopback(),
        text => text.parse() == Ok(ip),
    };
    c.restrict.config.inet_interfaces.iter().any(listed)
}
