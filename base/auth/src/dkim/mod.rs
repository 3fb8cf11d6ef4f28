//! DKIM: who takes responsibility for a message (RFC 6376, RFC 8301, RFC 8463).
//!
//! [`verify`] judges the signatures of a message, [`sign`] makes one. At most [`MAX_SIGNATURES`] are looked at; keys have 1024 to 8192
//! bits; SHA-1 counts as no signature. A signature over a part of the body only is not believed (`policy`), since
//! anything could have been added behind it.

mod key;
mod sign;
mod signature;

pub(crate) use key::find as find_key;
pub(crate) use sign::{Sealing, header_list, listed};
pub use sign::{SignOptions, sign};
pub use signature::Algorithm;
pub(crate) use signature::{Flaw, Signature, name};

use crate::{
    canonical::Canon,
    lookup::Dns,
    results::{Judged, MethodResult},
    section::{BodyForm, Section},
    tags,
};

/// The most signatures of a message that are looked at.
pub const MAX_SIGNATURES: usize = 8;

/// A judged signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dkim {
    /// The result.
    pub result: MethodResult,
    /// Why it is not a pass.
    pub reason: Option<&'static str>,
    /// `d=`, in lower case; empty when it could not be read.
    pub domain: String,
    /// `s=`
    pub selector: String,
    /// `a=`
    pub algorithm: &'static str,
    /// The first characters of `b=`, which tell signatures apart (RFC 6008).
    pub beginning: String,
}

/// A signature header of the message that could be read or not.
pub(crate) struct Found<'s> {
    pub raw: &'s [u8],
    pub parsed: Result<Signature, Flaw>,
}

/// The signatures of a message, from the top.
pub(crate) fn find(section: &Section) -> Vec<Found<'_>> {
    let fields = section.named("dkim-signature").take(MAX_SIGNATURES);
    fields.map(|f| Found { raw: &f.raw, parsed: Signature::parse(f.value()) }).collect()
}

/// The forms of the body that signatures want hashed, each once.
pub(crate) fn forms<'f>(found: impl Iterator<Item = &'f Found<'f>>) -> Vec<BodyForm> {
    let mut forms = Vec::new();
    for form in found.filter_map(|f| f.parsed.as_ref().ok()).map(Signature::body_form) {
        if !forms.contains(&form) {
            forms.push(form);
        }
    }
    forms
}

/// Judges signatures; `hashes` are of the body in the `forms`.
pub(crate) async fn verify(
    dns: &dyn Dns,
    section: &Section,
    found: &[Found<'_>],
    hashed: &[(BodyForm, (Vec<u8>, u64))],
    now: u64,
) -> Vec<Dkim> {
    let mut out = Vec::new();
    for f in found {
        out.push(match &f.parsed {
            Err(flaw) => Dkim::new(None, MethodResult::of_flaw(*flaw), Some(flaw.text())),
            Ok(signature) => {
                let (result, reason) = judge(dns, section, f.raw, signature, hashed, now).await;
                Dkim::new(Some(signature), result, reason)
            }
        });
    }
    out
}

/// Judges one signature, a DKIM-Signature or an ARC-Message-Signature.
pub(crate) async fn judge(
    dns: &dyn Dns,
    section: &Section,
    raw: &[u8],
    signature: &Signature,
    hashed: &[(BodyForm, (Vec<u8>, u64))],
    now: u64,
) -> Judged {
    let form = signature.body_form();
    let Some((_, (hash, length))) = hashed.iter().find(|(f, _)| *f == form) else {
        return (MethodResult::TempError, Some("body not read"));
    };
    if signature.expires.is_some_and(|at| at < now) {
        return (MethodResult::Policy, Some("signature has expired"));
    }
    if *hash != signature.body_hash {
        return (MethodResult::Fail, Some("body has changed"));
    }
    if form.1.is_some_and(|limit| limit < *length) {
        return (MethodResult::Policy, Some("part of the body is not signed"));
    }
    let key = match key::fetch(dns, signature).await {
        Ok(key) => key,
        Err(e) => return (e.result(), Some(e.text())),
    };
    let data = header_data(section, raw, signature);
    match key.verifies(signature.algorithm, &data, &signature.signature) {
        true => (MethodResult::Pass, None),
        false => (MethodResult::Fail, Some("signature did not verify")),
    }
}

/// What a signature is over (RFC 6376 3.7): the signed headers, and its own without `b=` and CRLF.
fn header_data(section: &Section, raw: &[u8], signature: &Signature) -> Vec<u8> {
    let canon = signature.header_canon;
    let mut data = section.selected(signature.headers.iter().map(String::as_str), canon);
    data.extend(closing(raw, canon));
    data
}

/// A signature header as it is signed itself.
pub(crate) fn closing(raw: &[u8], canon: Canon) -> Vec<u8> {
    let mut out = Vec::new();
    canon.header(&tags::without_signature(raw), &mut out);
    out.truncate(out.len().saturating_sub(2));
    out
}

impl Dkim {
    fn new(signature: Option<&Signature>, result: MethodResult, reason: Option<&'static str>) -> Self {
        Self {
            result,
            reason,
            domain: signature.map(|s| s.domain.clone()).unwrap_or_default(),
            selector: signature.map(|s| s.selector.clone()).unwrap_or_default(),
            algorithm: signature.map_or("", |s| s.algorithm.name()),
            beginning: signature
                .map(|s| tags::base64(&s.signature).chars().take(8).collect())
                .unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
