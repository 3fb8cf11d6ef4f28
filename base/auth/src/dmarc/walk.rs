//! Finding the record and the organization of a domain by walking up the DNS tree.
//!
//! At most [`MAX_STEPS`] names are asked: the domain, and then its parents, those of very long names from seven labels on. A record with
//! `psd=n` is that of an organization, one with `psd=y` stands directly above it; without either the topmost record is the organization's.

use super::record::{Policy, Record};
use crate::lookup::Dns;

/// The most names asked for one domain.
const MAX_STEPS: usize = 8;

/// DNS does not answer for now.
pub(super) struct Temporary;

/// What holds for a domain.
pub(super) struct Found {
    pub record: Record,
    pub at: String,
    pub policy: Policy,
    pub organization: String,
}

/// The names that are asked, the domain first.
fn names(domain: &str) -> Vec<&str> {
    let mut out = vec![domain];
    let mut name = domain;
    if domain.split('.').count() > MAX_STEPS {
        let skipped = domain.split('.').count() - MAX_STEPS;
        for _ in 0..skipped {
            name = name.split_once('.').map_or("", |(_, parent)| parent);
        }
    }
    while let Some((_, parent)) = name.split_once('.') {
        name = parent;
        out.push(name);
    }
    out.truncate(MAX_STEPS);
    out
}

async fn record(dns: &dyn Dns, domain: &str) -> Result<Option<Record>, Temporary> {
    match dns.txt(&format!("_dmarc.{domain}")).await {
        Ok(texts) => {
            let mut records = texts.iter().filter_map(|t| Record::parse(t));
            // More than one is none (6.6.3).
            Ok(records.next().filter(|_| records.next().is_none()))
        }
        Err(e) if e.is_temporary() => Err(Temporary),
        Err(_) => Ok(None),
    }
}

/// The records on the way up, with their domains.
async fn walk(dns: &dyn Dns, domain: &str) -> Result<Vec<(String, Record)>, Temporary> {
    let mut out = Vec::new();
    for name in names(domain) {
        if let Some(found) = record(dns, name).await? {
            let ends = found.suffix.is_some();
            out.push((name.to_owned(), found));
            if ends {
                break;
            }
        }
    }
    Ok(out)
}

/// The organization's domain, given the records on the way up.
fn chosen(domain: &str, walked: &[(String, Record)]) -> String {
    let Some((top, record)) = walked.last() else { return domain.to_owned() };
    match record.suffix {
        Some(true) if top != domain => {
            let below = domain.strip_suffix(top.as_str()).unwrap_or(domain).trim_end_matches('.');
            let label = below.rsplit('.').next().unwrap_or(below);
            format!("{label}.{top}")
        }
        _ => top.clone(),
    }
}

/// The organization that a domain belongs to.
pub(super) async fn organization(dns: &dyn Dns, domain: &str) -> Result<String, Temporary> {
    Ok(chosen(domain, &walk(dns, domain).await?))
}

/// What holds for mail from a domain.
pub(super) async fn policy(dns: &dyn Dns, domain: &str) -> Result<Option<Found>, Temporary> {
    let walked = walk(dns, domain).await?;
    let organization = chosen(domain, &walked);
    let own = walked.iter().find(|(name, _)| name == domain);
    let above = || walked.iter().find(|(name, _)| *name == organization).or(walked.last());
    let Some((at, record)) = own.or_else(above) else { return Ok(None) };
    let policy = if at == domain { record.policy } else { record.subdomains };
    Ok(Some(Found { record: record.clone(), at: at.clone(), policy, organization }))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn steps() {
        assert_eq!(names("a.b.c"), ["a.b.c", "b.c", "c"]);
        let long = "1.2.3.4.5.6.7.8.9.10.example.com";
        let got = names(long);
        assert_eq!(
            (got.len(), got.first(), got.get(1), got.last()),
            (8, Some(&long), Some(&"6.7.8.9.10.example.com"), Some(&"com"))
        );
    }
}
