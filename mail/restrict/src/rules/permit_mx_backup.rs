//! `permit_mx_backup`: mail for a domain of ours, or for one that has us as mail exchanger and whose first mail
//! exchangers are in `permit_mx_backup_networks`. postconf(5).

use super::{Context, Permits, Rule, lookup_failure};
use crate::{
    Refusal, Verdict,
    verdict::{Answer, Subject},
};
use base_calls::AddressClass;
use base_dns::{DnsError, Hosts, Mx};
use proto_address::{split_domain, without_final_dot};
use proto_dsn::Status;
use std::net::IpAddr;

pub(crate) static RULE: Rule = Rule { permits: Permits::Recipient, ..Rule::new("permit_mx_backup", check) };

/// The most mail exchangers that are looked at.
const MAX_HOSTS: usize = 50;

fn check(c: Context<'_>) -> Answer<'_> {
    let Some((recipient, subject)) = c.recipient() else { return Verdict::Dunno.into() };
    Answer::later(async move {
        match c.resolve(recipient).await {
            Err(_) => Verdict::Reject(lookup_failure(&subject)),
            Ok(r) if r.routed => Verdict::Dunno,
            Ok(r) if r.class != AddressClass::Default => Verdict::Permit,
            Ok(_) => match split_domain(recipient).1.filter(|d| !d.starts_with('[')) {
                Some(domain) => backup(&c, without_final_dot(domain), &subject).await.unwrap_or_else(|v| v),
                None => Verdict::Dunno,
            },
        }
    })
}

async fn backup(c: &Context<'_>, domain: &str, subject: &Subject) -> Result<Verdict, Verdict> {
    let mut mx = match c.restrict.resolver.mx(domain).await {
        Ok(answer) => answer.records,
        Err(e) if e.is_absent() => return Ok(Verdict::Dunno),
        Err(e) => return Err(defer(subject, &format!("Unable to look up mail exchanger information: {e}"))),
    };
    mx.sort_by_key(|m| m.preference);
    mx.truncate(MAX_HOSTS);
    if !ours_among(c, &mx, subject).await? {
        return Ok(Verdict::Dunno);
    }
    let first = mx.first().map(|m| m.preference);
    for host in mx.iter().filter(|m| Some(m.preference) == first) {
        if !in_networks(c, host, subject).await? {
            return Ok(Verdict::Dunno);
        }
    }
    Ok(Verdict::Permit)
}

async fn ours_among(c: &Context<'_>, mx: &[Mx], subject: &Subject) -> Result<bool, Verdict> {
    for host in mx {
        let local = c.resolve(&format!("postmaster@{}", host.host)).await;
        if local.is_ok_and(|r| r.class == AddressClass::Local) {
            return Ok(true);
        }
        let own = &c.restrict.config.own_addresses;
        if addresses(c, host, subject).await?.iter().any(|a| own.contains(a)) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn in_networks(c: &Context<'_>, host: &Mx, subject: &Subject) -> Result<bool, Verdict> {
    let networks = &c.restrict.matches.mx_backup_networks;
    if networks.is_empty() {
        return Ok(true);
    }
    for address in addresses(c, host, subject).await? {
        if networks.matches_client("", address).await.unwrap_or(false) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn addresses(c: &Context<'_>, host: &Mx, subject: &Subject) -> Result<Vec<IpAddr>, Verdict> {
    let name = &host.host;
    let answer = c.restrict.resolver.host(name, true, true, Hosts::Native).await;
    let text = |e: DnsError| format!("Unable to look up mail exchanger host {name}: {}", e.native_text());
    answer.map(|a| a.records).map_err(|e| defer(subject, &text(e)))
}

fn defer(subject: &Subject, text: &str) -> Verdict {
    Verdict::DeferIfReject(Refusal::of(subject, 450, Status::new(4, 4, 4), text))
}
