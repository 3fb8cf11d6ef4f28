//! Shared by the rules about mail addresses: the form in which tables see them, full qualification, existing domains.

use super::{Context, lookup_failure};
use crate::{
    Refusal, Verdict,
    config::TempfailAction,
    verdict::{Kind, Subject},
};
use base_calls::AddressClass;
use base_dns::DnsError;
use proto_address::{literal_address, split_domain, valid_hostname, without_final_dot};
use proto_dsn::Status;

/// The address as tables see it: resolved, so that `user` is `user@myorigin`.
pub(super) async fn lookup_key(c: &Context<'_>, address: &str, subject: &Subject) -> Result<String, Verdict> {
    match c.resolve(address).await {
        Ok(r) => Ok(r.recipient),
        Err(_) => Err(Verdict::Reject(lookup_failure(subject))),
    }
}

/// `reject_non_fqdn_sender` and `_recipient`.
pub(super) fn non_fqdn(c: &Context<'_>, address: &str, subject: &Subject) -> Verdict {
    if address.is_empty() || is_qualified(address) {
        return Verdict::Dunno;
    }
    let code = c.restrict.config.codes.non_fqdn;
    Verdict::Reject(Refusal::of(subject, code, Status::new(5, 5, 2), "need fully-qualified address"))
}

fn is_qualified(address: &str) -> bool {
    let Some(domain) = split_domain(address).1 else { return false };
    let name = without_final_dot(domain);
    literal_address(domain).is_some()
        || name.contains('.') && proto_address::to_ascii(name).is_some_and(|n| valid_hostname(&n))
}

/// `reject_unknown_sender_domain` and `_recipient_domain`: our own domains are known, others have an MX or an address.
pub(super) async fn unknown_domain(c: &Context<'_>, address: &str, subject: &Subject) -> Verdict {
    let Some(domain) = split_domain(address).1.filter(|d| !d.starts_with('[')) else { return Verdict::Dunno };
    match c.resolve(address).await {
        Ok(r) if r.class == AddressClass::Default => {}
        Ok(_) => return Verdict::Dunno,
        Err(_) => return Verdict::Reject(lookup_failure(subject)),
    }
    let Some(domain) = proto_address::to_ascii(without_final_dot(domain)) else {
        return not_found(c, subject);
    };
    match exists(c, &domain).await {
        Ok(true) => Verdict::Dunno,
        Ok(false) => null_mx(subject, &domain),
        Err(e @ DnsError::Filtered) => {
            c.warning(format!("{domain}: MX or address lookup error: {e}"));
            Verdict::Dunno
        }
        Err(e) if e.is_temporary() => tempfail(c, subject),
        Err(_) => not_found(c, subject),
    }
}

/// `Ok(false)`: the domain says that it takes no mail (RFC 7505).
async fn exists(c: &Context<'_>, domain: &str) -> Result<bool, DnsError> {
    match c.restrict.resolver.mx(domain).await {
        Ok(mx) if mx.records.iter().any(|m| !m.host.is_empty()) => Ok(true),
        Ok(mx) if !mx.records.is_empty() => Ok(false),
        Ok(_) | Err(DnsError::NoData) => {
            c.restrict.resolver.addresses(domain, true, true).await.map(|_| true)
        }
        Err(e) => Err(e),
    }
}

fn null_mx(subject: &Subject, domain: &str) -> Verdict {
    let text = format!("Domain {domain} does not accept mail (nullMX)");
    let (code, status) = match subject.kind {
        Kind::Sender => (550, Status::new(5, 7, 27)),
        _ => (556, Status::new(5, 1, 10)),
    };
    Verdict::Reject(Refusal::of(subject, code, status, &text))
}

fn unknown(code: u16, subject: &Subject) -> Refusal {
    let detail = if subject.kind == Kind::Sender { 8 } else { 2 };
    Refusal::of(subject, code, Status::new(4, 1, detail), "Domain not found")
}

fn not_found(c: &Context<'_>, subject: &Subject) -> Verdict {
    Verdict::Reject(unknown(c.restrict.config.codes.unknown_address, subject))
}

fn tempfail(c: &Context<'_>, subject: &Subject) -> Verdict {
    let refusal = unknown(450, subject);
    match c.restrict.config.unknown_address_tempfail {
        TempfailAction::Defer => Verdict::Reject(refusal),
        TempfailAction::DeferIfPermit => Verdict::DeferIfPermit(refusal),
    }
}
