//! Whether a chain of certificates leads to an authority that we trust (RFC 5280), in OpenSSL's words when it does not.
//!
//! A certificate that is itself in the list of authorities is trusted, as with OpenSSL.

use crate::{Certificate, TrustAnchors, ca::Anchors, certs};
use rustls::{
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{CertificateDer, UnixTime},
};
use std::{cell::Cell, time::SystemTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The chain leads to an authority.
    Trusted,
    /// It does not, for this reason.
    Untrusted(String),
}

/// What the certificate is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    Server,
    Client,
}

impl Trust {
    /// Whether it is trusted.
    pub fn is_trusted(&self) -> bool {
        *self == Self::Trusted
    }

    /// Whether the fault is in the peer's own certificate, not in who has signed it.
    pub fn is_fault_of_peer(&self) -> bool {
        matches!(self, Self::Untrusted(why) if [EXPIRED, NOT_YET_VALID].contains(&why.as_str()))
    }
}

/// In OpenSSL's words.
pub(crate) const EXPIRED: &str = "certificate has expired";
pub(crate) const NOT_YET_VALID: &str = "certificate is not yet valid";

/// Judges a chain; the first one is the peer's own.
pub(crate) fn judge(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    algorithms: &WebPkiSupportedAlgorithms,
    usage: Usage,
) -> Trust {
    let untrusted = |text: &str| Trust::Untrusted(text.to_owned());
    let Some((first, rest)) = chain.split_first() else { return untrusted("no certificate") };
    let Some(own) = Certificate::of(first) else { return untrusted("certificate is malformed") };
    if anchors.ders.iter().any(|a| a == first) {
        return own.time_fault(SystemTime::now()).map_or(Trust::Trusted, untrusted);
    }
    let Ok(cert) = EndEntityCert::try_from(first) else {
        return untrusted(if own.self_issued {
            "self-signed certificate"
        } else {
            "certificate is malformed"
        });
    };
    let usage = match usage {
        Usage::Server => KeyUsage::server_auth(),
        Usage::Client => KeyUsage::client_auth(),
    };
    let now = UnixTime::now();
    let too_long = Cell::new(None);
    let limit = |path: &VerifiedPath<'_>| match anchors.depth.map(|d| d.saturating_add(1)) {
        Some(most) if u32::try_from(path.intermediate_certificates().count()).is_ok_and(|n| n > most) => {
            too_long.set(Some(most));
            Err(webpki::Error::MaximumPathDepthExceeded)
        }
        _ => Ok(()),
    };
    let judged = cert
        .verify_for_usage(algorithms.all, &anchors.anchors, rest, now, usage, None, Some(&limit))
        .map(drop);
    match (judged, too_long.get()) {
        (Ok(_), _) => Trust::Trusted,
        (Err(_), Some(most)) => Trust::Untrusted(format!("certificate chain longer than limit({most})")),
        (Err(e), None) => Trust::Untrusted(words(&e, &own, rest)),
    }
}

/// Whether a chain leads to this one certificate.
pub(crate) fn leads_to(own: &[u8], issuers: &[Vec<u8>], anchor: &[u8]) -> bool {
    is_trusted(own, issuers, &Anchors::of(anchor))
}

/// Whether a chain leads to one of these certificates, or one of its certificates is signed with one of these keys.
pub(crate) fn leads_to_any(own: &[u8], issuers: &[Vec<u8>], to: &TrustAnchors) -> bool {
    let shown = || std::iter::once(own).chain(issuers.iter().map(Vec::as_slice));
    let mut anchors = Anchors::default();
    to.certificates.iter().for_each(|der| anchors.add(Anchors::of(der)));
    for key in &to.keys {
        shown().filter_map(|der| certs::issuer_with_key(der, key)).for_each(|a| anchors.anchors.push(a));
    }
    is_trusted(own, issuers, &anchors)
}

fn is_trusted(own: &[u8], issuers: &[Vec<u8>], anchors: &Anchors) -> bool {
    let chain: Vec<CertificateDer<'_>> =
        std::iter::once(own).chain(issuers.iter().map(Vec::as_slice)).map(CertificateDer::from).collect();
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    judge(&chain, anchors, &algorithms, Usage::Server).is_trusted()
}

fn words(e: &webpki::Error, own: &Certificate, rest: &[CertificateDer<'_>]) -> String {
    use webpki::Error as E;
    match e {
        E::CertExpired { .. } => EXPIRED.into(),
        E::CertNotValidYet { .. } => NOT_YET_VALID.into(),
        E::RequiredEkuNotFoundContext(_) => "unsuitable certificate purpose".into(),
        E::InvalidSignatureForPublicKey => "certificate signature failure".into(),
        E::PathLenConstraintViolated => "path length constraint exceeded".into(),
        _ if own.self_issued => "self-signed certificate".into(),
        _ => {
            let top = rest.iter().filter_map(Certificate::of).next_back();
            match top {
                Some(top) if top.self_issued => "self-signed certificate in certificate chain".into(),
                Some(top) => format!("untrusted issuer {}", top.issuer),
                None => format!("untrusted issuer {}", own.issuer),
            }
        }
    }
}
