//! Which TLSA records count for a host (RFC 7672 2.2, RFC 7671 7 and 9; TLS_README "DANE TLS authentication").
//!
//! [`ask`] fills in [`Demands::tlsa`], and lowers or raises the level where the records say so: none leave `dane` like `may`, those
//! that cannot be used demand encryption. An answer that cannot be had is no answer: who suppresses it must not get plain
//! text for it.

use super::{
    config::ClientConfig,
    proof,
    secure::Demands,
    session::Peer,
    tls::{InsecureMx, Level},
};
use crate::{report::Reporter, tls_report::Fault};
use base_calls::Diagnosis;
use base_dns::{DnsError, Resolver, Tlsa};
use base_net::split_host_port;
use proto_dsn::Status;

/// What DNS has of a host.
pub(crate) enum Found {
    /// Nothing that anybody vouches for.
    Nothing(&'static str),
    /// Records, below this name.
    Records(Vec<Tlsa>, String),
}

/// Asks DNS what a host must prove. An error is why no mail may go there, and whether that is to be reported as the domain's fault.
pub(crate) async fn ask(
    demands: &mut Demands,
    cfg: &ClientConfig,
    resolver: &Resolver,
    (peer, port): (&Peer, Option<u16>),
    log: &Reporter<'_>,
) -> Result<(), (Diagnosis, Option<Fault>)> {
    let Some(port) = port else { return Ok(()) };
    let only = demands.policy.level == Level::DaneOnly;
    let hop = demands.hop.clone();
    let refuse = |text: &str, fault: Option<Fault>| {
        log.warning(&format!("TLS policy lookup for {hop}/{}: {text}", peer.name));
        (Diagnosis::new(Status::new(4, 7, 5), text), fault)
    };
    if !cfg.dnssec {
        let text = "dane configured with dnssec lookups disabled";
        if only {
            return Err(refuse(text, None));
        }
        log.warning(&format!("{}: {text}", demands.hop));
        demands.policy = cfg.tls.at(Level::May);
        return Ok(());
    }
    let dnssec = resolver.dnssec();
    let no_answer = |problem: String| {
        log.warning(&format!("DANE TLSA lookup problem: {problem}"));
        refuse(&format!("TLSA lookup error for {}:{port}", peer.name), Some(Fault::DnssecInvalid))
    };
    let vouched = exchangers_are_vouched_for(&demands.hop, &dnssec).await.map_err(no_answer)?;
    if !vouched && only {
        return Err(refuse("non DNSSEC destination", Some(Fault::DaneRequired)));
    }
    let found = of_host(cfg, &dnssec, &peer.name, port).await.map_err(no_answer)?;
    let (records, base) = match found {
        Found::Nothing(why) if only => return Err(refuse(why, Some(Fault::DaneRequired))),
        Found::Nothing(_) => return Ok(()),
        Found::Records(records, base) => (records, base),
    };
    match (vouched, cfg.tls.insecure_mx) {
        (false, InsecureMx::May) => return Ok(()),
        (false, InsecureMx::Encrypt) => {
            demands.policy.level = Level::Encrypt;
            return Ok(());
        }
        _ => {}
    }
    let sorted = proof::sorted(records, &cfg.tls.dane_digests);
    for record in &sorted.other_usage {
        log.warning(&format!("_{port}._tcp.{base} unsupported TLSA certificate usage: {record}"));
    }
    demands.tlsa = sorted.usable;
    demands.unusable = sorted.unusable;
    demands.forgeable = !vouched;
    demands.base = base;
    if demands.tlsa.is_empty() {
        if only {
            return Err(refuse("all TLSA records unusable", Some(Fault::TlsaInvalid)));
        }
        // RFC 7672 2.2: they demand encryption all the same.
        demands.policy.level = Level::Encrypt;
    }
    Ok(())
}

/// Whether the names of the mail exchangers cannot be forged. A host that is named by the administrator cannot.
async fn exchangers_are_vouched_for(hop: &str, dnssec: &Resolver) -> Result<bool, String> {
    if hop.starts_with('[') {
        return Ok(true);
    }
    let domain = split_host_port(hop).map_or(hop, |(h, _)| h);
    match dnssec.mx(domain).await {
        Ok(mx) => Ok(mx.authentic),
        Err(DnsError::NotFound | DnsError::NoData) => Ok(true),
        Err(e @ DnsError::TempFail(_)) => Err(e.text(domain, "MX")),
        Err(_) => Ok(false),
    }
}

/// The records of a host: below the name that it is an alias for, else below its own (RFC 7671 7). A host whose zone is not
/// signed is asked about when it is an alias, whose own zone may be (`smtp_tls_force_insecure_host_tlsa_lookup`: always).
pub(crate) async fn of_host(
    cfg: &ClientConfig,
    dnssec: &Resolver,
    host: &str,
    port: u16,
) -> Result<Found, String> {
    let (end, authentic) = match dnssec.addresses(host, cfg.protocols.v4, cfg.protocols.v6).await {
        Ok(answer) => (answer.name, answer.authentic),
        Err(e @ DnsError::TempFail(_)) => return Err(e.text(host, "A")),
        Err(_) => (host.to_owned(), false),
    };
    let is_alias = !end.eq_ignore_ascii_case(host);
    let mut names = Vec::new();
    if authentic && is_alias {
        names.push(end.as_str());
    }
    if authentic || is_alias || cfg.tls.force_tlsa_lookup {
        names.push(host);
    }
    if names.is_empty() {
        return Ok(Found::Nothing("non DNSSEC destination"));
    }
    for name in names {
        let service = format!("_{port}._tcp.{name}");
        match dnssec.tlsa(&service).await {
            Ok(found) if found.authentic => return Ok(Found::Records(found.records, name.to_owned())),
            Err(e @ DnsError::TempFail(_)) => return Err(e.text(&service, "TLSA")),
            _ => {}
        }
    }
    Ok(Found::Nothing("no TLSA records found"))
}
