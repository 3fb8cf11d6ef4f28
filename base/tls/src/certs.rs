//! What certificates say: names, times, keys (RFC 5280). Reads only; whether to believe it is [`crate::Trust`]'s work.

use crate::{
    Digest,
    trust::{EXPIRED, NOT_YET_VALID},
};
use rustls::pki_types::{CertificateDer, TrustAnchor};
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, public_key::PublicKey,
    x509::X509Name,
};

/// The most names that are read of one certificate.
const MAX_NAMES: usize = 1000;

/// A peer's certificate, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificate {
    /// All of it.
    pub der: Vec<u8>,
    /// The public key with its algorithm (SubjectPublicKeyInfo).
    pub spki: Vec<u8>,
    /// Common name of the subject; the host names of the certificate are in [`Certificate::dns_names`].
    pub subject_cn: String,
    /// Common name of the issuer; its organization when it has none.
    pub issuer_cn: String,
    /// `/C=DE/CN=example.com`
    pub subject: String,
    /// The same of the issuer.
    pub issuer: String,
    /// DNS names of the extension; without that extension the common name.
    pub dns_names: Vec<String>,
    /// Subject and issuer are the same.
    pub self_issued: bool,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
}

impl Certificate {
    /// Takes a certificate apart; `None` for one that makes no sense.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (_, x) = X509Certificate::from_der(der).ok()?;
        let subject_cn = common_name(x.subject()).unwrap_or_default();
        let issuer_cn = common_name(x.issuer()).or_else(|| organization(x.issuer())).unwrap_or_default();
        let alternative = x.subject_alternative_name().ok().flatten();
        let dns: Vec<String> = alternative
            .into_iter()
            .flat_map(|e| &e.value.general_names)
            .filter_map(|n| match n {
                GeneralName::DNSName(n) => Some(clean(n)),
                _ => None,
            })
            .take(MAX_NAMES)
            .collect();
        let dns_names = match dns.is_empty() && !subject_cn.is_empty() {
            true => vec![subject_cn.clone()],
            false => dns,
        };
        Some(Self {
            der: der.to_vec(),
            spki: x.public_key().raw.to_vec(),
            subject: one_line(x.subject()),
            issuer: one_line(x.issuer()),
            self_issued: x.subject().as_raw() == x.issuer().as_raw(),
            not_before: x.validity().not_before.timestamp(),
            not_after: x.validity().not_after.timestamp(),
            subject_cn,
            issuer_cn,
            dns_names,
        })
    }

    /// One that makes no sense, but was shown.
    pub(crate) fn opaque(der: &[u8]) -> Self {
        Self { der: der.to_vec(), ..Self::default() }
    }

    pub(crate) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        Self::parse(der.as_ref())
    }

    /// Digest of the certificate.
    pub fn fingerprint(&self, digest: Digest) -> String {
        digest.fingerprint(&self.der)
    }

    /// Digest of its public key.
    pub fn key_fingerprint(&self, digest: Digest) -> String {
        digest.fingerprint(&self.spki)
    }

    /// Why the certificate is not valid now, in OpenSSL's words.
    pub(crate) fn time_fault(&self, now: SystemTime) -> Option<&'static str> {
        let now =
            now.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
        match now {
            n if n < self.not_before => Some(NOT_YET_VALID),
            n if n > self.not_after => Some(EXPIRED),
            _ => None,
        }
    }
}

/// The issuer of a certificate, as it would be with this key (SubjectPublicKeyInfo).
pub(crate) fn issuer_with_key(der: &[u8], spki: &[u8]) -> Option<TrustAnchor<'static>> {
    let (_, x) = X509Certificate::from_der(der).ok()?;
    Some(TrustAnchor {
        subject: content(x.issuer().as_raw())?.to_vec().into(),
        subject_public_key_info: content(spki)?.to_vec().into(),
        name_constraints: None,
    })
}

/// What is in a SEQUENCE (X.690 8.1.3), without its head.
fn content(der: &[u8]) -> Option<&[u8]> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let head = usize::from(first & 0x7f);
    match (tag, first) {
        (0x30, ..=0x7f) => Some(rest),
        (0x30, 0x81..=0x84) => rest.get(head..),
        _ => None,
    }
}

/// The signature that goes with a key in TLS 1.3: `RSA-PSS`, `ECDSA`, `ED25519`.
pub(crate) fn key_kind(spki: &[u8]) -> Option<&'static str> {
    let (_, info) = x509_parser::x509::SubjectPublicKeyInfo::from_der(spki).ok()?;
    match info.parsed().ok()? {
        PublicKey::RSA(_) => Some("RSA-PSS"),
        PublicKey::EC(_) => Some("ECDSA"),
        _ if info.algorithm.algorithm == x509_parser::oid_registry::OID_SIG_ED25519 => Some("ED25519"),
        _ => None,
    }
}

/// `2048 bits`, `P-256`, or nothing.
pub(crate) fn key_text(spki: &[u8]) -> String {
    let Ok((_, info)) = x509_parser::x509::SubjectPublicKeyInfo::from_der(spki) else { return String::new() };
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => format!("{} bits", key.key_size()),
        Ok(PublicKey::EC(point)) => match point.key_size() {
            bits if bits <= 256 => "P-256".into(),
            bits if bits <= 384 => "P-384".into(),
            _ => "P-521".into(),
        },
        _ => String::new(),
    }
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    let last = name.iter_common_name().last()?;
    last.as_str().ok().map(clean)
}

fn organization(name: &X509Name<'_>) -> Option<String> {
    let last = name.iter_organization().last()?;
    last.as_str().ok().map(clean)
}

/// OpenSSL's old form: `/C=DE/O=Example/CN=example.com`.
fn one_line(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    for attribute in name.iter_attributes().take(64) {
        let oid = attribute.attr_type();
        let short = x509_parser::objects::oid2abbrev(oid, x509_parser::objects::oid_registry());
        let label = short.map_or_else(|_| oid.to_id_string(), str::to_owned);
        out.push('/');
        out.push_str(&label);
        out.push('=');
        out.push_str(&clean(attribute.as_str().unwrap_or_default()));
    }
    out
}

/// For logs and header fields: control characters become `?`, and the text is bounded.
fn clean(text: &str) -> String {
    text.chars().take(1000).map(|c| if c.is_control() { '?' } else { c }).collect()
}
