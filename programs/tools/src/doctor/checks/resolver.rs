//! `resolver`: whether the machine's name servers answer, tell the truth about names that do not exist, and vouch for answers
//! where DANE needs it.

use super::super::{Check, Finding, Level, ground::Ground};
use base_dns::DnsError;
use std::{fs, time::Duration};

/// A name that does not exist (RFC 2606).
const NOTHING: &str = "hikyaku-doctor.invalid";
/// A zone that is signed.
const SIGNED: &str = "ietf.org";

/// The record.
pub const CHECK: Check = Check {
    name: "resolver",
    about: "name servers: answers, truth about missing names, DNSSEC, own name",
    limit: Duration::from_secs(20),
    look: |ground| {
        Box::pin(async {
            let mut found = vec![missing(ground).await, own_name(ground).await];
            found.extend(signed(ground).await);
            found.extend(far());
            found
        })
    },
};

async fn missing(ground: &Ground) -> Finding {
    match ground.resolver.addresses(NOTHING, true, false).await {
        Err(DnsError::NotFound | DnsError::NoData) => {
            (Level::Ok, "a name that does not exist is not found".into())
        }
        Ok(_) => (Level::Problem, "the name servers invent addresses of names that do not exist".into()),
        Err(e) => (Level::Problem, format!("the name servers do not answer: {e}")),
    }
}

async fn own_name(ground: &Ground) -> Finding {
    let name = ground.value("myhostname");
    match ground.resolver.addresses(&name, true, true).await {
        Ok(_) => (Level::Ok, format!("myhostname {name} has an address")),
        Err(DnsError::NotFound | DnsError::NoData) => {
            (Level::Warning, format!("myhostname {name} has no address in DNS: many servers refuse its mail"))
        }
        Err(e) => (Level::Unknown, format!("myhostname {name}: {e}")),
    }
}

async fn signed(ground: &Ground) -> Option<Finding> {
    if !ground.value("smtp_tls_security_level").starts_with("dane") {
        return None;
    }
    let answer = ground.resolver.dnssec().mx(SIGNED).await.ok()?;
    Some(match answer.authentic {
        true => (Level::Ok, "the name servers check signatures".into()),
        false => (Level::Problem, "DANE is asked for, and the name servers do not check signatures".into()),
    })
}

/// What the AD bit and block lists need: a name server of one's own, near by.
fn far() -> Option<Finding> {
    let text = fs::read_to_string("/etc/resolv.conf").ok()?;
    let servers = text.lines().filter_map(|l| l.trim().strip_prefix("nameserver"));
    let public = ["8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"];
    let found = servers.map(str::trim).find(|s| public.contains(s))?;
    let text = format!("name server {found} serves the public: DNS block lists do not answer it");
    Some((Level::Warning, text))
}
