//! `permit_tls_clientcerts`: the client has proved its certificate, and `relay_clientcerts` lists its fingerprint;
//! `permit_tls_all_clientcerts`: it is signed by somebody we trust (TLS_README).

use super::{Context, Permits, Rule, lookup_failure};
use crate::{Verdict, verdict::Answer};

pub(crate) static RULE: Rule =
    Rule { permits: Permits::Client, ..Rule::new("permit_tls_clientcerts", listed) };
pub(crate) static ALL: Rule =
    Rule { permits: Permits::Client, ..Rule::new("permit_tls_all_clientcerts", trusted) };

fn trusted(c: Context<'_>) -> Answer<'_> {
    let trusted = c.facts.client_cert().is_some_and(|cert| cert.trusted);
    if trusted { Verdict::Permit.into() } else { Verdict::Dunno.into() }
}

fn listed(c: Context<'_>) -> Answer<'_> {
    let Some(cert) = c.facts.client_cert() else { return Verdict::Dunno.into() };
    Answer::later(async move {
        for key in [&cert.fingerprint, &cert.pubkey_fingerprint] {
            match c.restrict.matches.relay_clientcerts.find(key).await {
                _ if key.is_empty() => {}
                Ok(Some(_)) => return Verdict::Permit,
                Ok(None) => {}
                Err(_) => return Verdict::Reject(lookup_failure(c.subject)),
            }
        }
        Verdict::Dunno
    })
}
