//! Shared by the restrictions `check_*_{a,mx,ns}_access`: the hosts of a domain, and their names and addresses as keys of
//! an access table. access(5).

use super::{About, Context, Rule, dns::rewritten};
use crate::{
    Verdict,
    verdict::{Answer, Kind, Subject},
};
use base_dns::{DnsError, Hosts};
use proto_address::without_final_dot;

/// Which hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The domain itself.
    A,
    /// Its mail exchangers.
    Mx,
    /// Its name servers, or those of the next parent that has some.
    Ns,
}

impl Of {
    const fn word(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Mx => "MX",
            Self::Ns => "NS",
        }
    }
}

/// The most hosts of a domain that are looked at.
const MAX_HOSTS: usize = 50;

/// One of the restrictions.
pub(super) const fn record(
    name: &'static str,
    about: About,
    check: for<'a> fn(Context<'a>) -> Answer<'a>,
) -> Rule {
    Rule { about, forbids_ok: true, ..Rule::table(name, check) }
}

/// What is looked up, and what replies and log call it.
struct Target {
    domain: String,
    subject: Subject,
    shown: String,
}

pub(super) fn check(c: Context<'_>, of: Of) -> Answer<'_> {
    Answer::later(async move {
        match target(&c).await {
            Ok(Some(target)) => servers(&c, of, &target).await,
            Ok(None) => Verdict::Dunno,
            Err(verdict) => verdict,
        }
    })
}

async fn target(c: &Context<'_>) -> Result<Option<Target>, Verdict> {
    let client = c.facts.client;
    let host = |name: &str, subject: Subject| {
        let domain = without_final_dot(name).to_owned();
        Some(Target { domain, subject, shown: name.to_owned() })
    };
    Ok(match c.rule.about {
        About::Client if client.name != "unknown" => host(&client.name, c.client()),
        About::ReverseClient if client.reverse_name != "unknown" => {
            host(&client.reverse_name, Subject::new(client.reverse_name.clone(), Kind::ReverseClient))
        }
        About::Helo => c.helo().and_then(|(helo, subject)| host(helo, subject)),
        About::Sender | About::Recipient => {
            let who = if c.rule.about == About::Sender { c.sender() } else { c.recipient() };
            match who {
                Some((address, subject)) if !address.is_empty() => Some(mail(c, address, subject).await?),
                _ => None,
            }
        }
        _ => None,
    })
}

async fn mail(c: &Context<'_>, address: &str, subject: Subject) -> Result<Target, Verdict> {
    // The whole address when there is no domain: nothing will be found, and the log shows why.
    let domain = address.rsplit_once('@').map_or(address, |(_, d)| d);
    if domain.starts_with('[') {
        let _ = rewritten(c, address, &subject).await?;
    }
    let domain = without_final_dot(domain).to_owned();
    Ok(Target { domain, shown: address.to_owned(), subject })
}

async fn servers(c: &Context<'_>, of: Of, t: &Target) -> Verdict {
    if let Some(ip) = proto_address::literal_address(&t.domain) {
        return match of {
            Of::Ns => Verdict::Dunno,
            Of::A | Of::Mx => {
                c.lookup(t.subject.clone(), |l| async move { l.address(&ip.to_string()).await }).await
            }
        };
    }
    // No literal, and no name.
    if t.domain.starts_with('[') {
        return Verdict::Dunno;
    }
    let hosts = match hosts(c, of, t).await {
        Ok(hosts) => hosts,
        Err(text) => {
            c.warning(text);
            return Verdict::Dunno;
        }
    };
    for host in hosts.iter().take(MAX_HOSTS) {
        match one_host(c, of, t, host).await {
            Verdict::Dunno => {}
            other => return other,
        }
    }
    Verdict::Dunno
}

/// The names of the hosts; `Err`: what the log says.
async fn hosts(c: &Context<'_>, of: Of, t: &Target) -> Result<Vec<String>, String> {
    let resolver = &c.restrict.resolver;
    match of {
        Of::A => Ok(vec![t.domain.clone()]),
        Of::Mx => match resolver.mx(&t.domain).await {
            Ok(answer) => {
                let mut mx = answer.records;
                mx.sort_by_key(|m| m.preference);
                Ok(mx.into_iter().map(|m| m.host).filter(|h| !h.is_empty()).collect())
            }
            Err(e) if e.is_absent() => Ok(vec![t.domain.clone()]),
            Err(e) => Err(unable(of, &t.domain, &e)),
        },
        Of::Ns => {
            let mut domain = t.domain.as_str();
            loop {
                match resolver.ns(domain).await {
                    Ok(answer) => return Ok(answer.records),
                    Err(e) if e.is_absent() => match domain.split_once('.') {
                        Some((_, parent)) if !parent.is_empty() => domain = parent,
                        _ => return Err(unable(of, &t.shown, &e)),
                    },
                    Err(e) => return Err(unable(of, domain, &e)),
                }
            }
        }
    }
}

fn unable(of: Of, name: &str, e: &DnsError) -> String {
    let why = match e {
        DnsError::Filtered => "DNS reply filter policy".to_owned(),
        other => other.to_string(),
    };
    format!("Unable to look up {} host for {name}: {why}", of.word())
}

async fn one_host(c: &Context<'_>, of: Of, t: &Target, host: &str) -> Verdict {
    if of != Of::A {
        match c.lookup(t.subject.clone(), |l| l.domain(host)).await {
            Verdict::Dunno => {}
            other => return other,
        }
    }
    let addresses = match c.restrict.resolver.host(host, true, true, Hosts::Native).await {
        Ok(answer) => answer.records,
        Err(e) => {
            if of != Of::A {
                let (word, class, shown) = (of.word(), t.subject.kind.class(), &t.shown);
                c.warning(format!(
                    "Unable to look up {word} host {host} for {class} {shown}: {}",
                    e.native_text()
                ));
            }
            return Verdict::Dunno;
        }
    };
    for address in addresses {
        let key = address.to_string();
        match c.lookup(t.subject.clone(), |l| async move { l.address(&key).await }).await {
            Verdict::Dunno => {}
            other => return other,
        }
    }
    Verdict::Dunno
}
