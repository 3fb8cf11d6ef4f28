//! Public keys in DNS (RFC 6376 3.6.1, RFC 8463 4).

use super::{Algorithm, Signature};
use crate::{lookup::Dns, results::MethodResult, tags::Tags};
use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey},
};

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyError {
    Temporary,
    Absent,
    Revoked,
    Unusable,
}

impl KeyError {
    pub const fn result(self) -> MethodResult {
        match self {
            Self::Temporary => MethodResult::TempError,
            _ => MethodResult::PermError,
        }
    }

    pub const fn text(self) -> &'static str {
        match self {
            Self::Temporary => "key not available for now",
            Self::Absent => "no key for signature",
            Self::Revoked => "key is revoked",
            Self::Unusable => "key is not for this signature",
        }
    }
}

/// A public key for one algorithm.
pub(crate) struct PublicKey(Vec<u8>);

/// The key that a signature names.
pub(crate) async fn fetch(dns: &dyn Dns, s: &Signature) -> Result<PublicKey, KeyError> {
    let name = format!("{}._domainkey.{}", s.selector, s.domain);
    find(dns, &name, s.algorithm, s.identity != s.domain).await
}

/// The key at a name; `below`: it signs for a subdomain.
pub(crate) async fn find(
    dns: &dyn Dns,
    name: &str,
    algorithm: Algorithm,
    below: bool,
) -> Result<PublicKey, KeyError> {
    let texts = match dns.txt(name).await {
        Ok(texts) => texts,
        Err(e) if e.is_temporary() => return Err(KeyError::Temporary),
        Err(_) => return Err(KeyError::Absent),
    };
    // Several records are undefined (3.6.2.2): the first that makes sense.
    let mut worst = KeyError::Absent;
    for text in texts.iter().take(4) {
        match parse(text, algorithm, below) {
            Ok(key) => return Ok(key),
            Err(e) => worst = e,
        }
    }
    Err(worst)
}

fn parse(text: &[u8], algorithm: Algorithm, below: bool) -> Result<PublicKey, KeyError> {
    let tags = Tags::parse(text).ok_or(KeyError::Unusable)?;
    if tags.get("v").is_some_and(|v| v != "DKIM1" || tags.first() != Some(("v", v))) {
        return Err(KeyError::Unusable);
    }
    let lists = |name, words: &[&str]| {
        tags.parts(name)
            .is_none_or(|mut parts| parts.any(|p| words.iter().any(|w| p.eq_ignore_ascii_case(w))))
    };
    let of_type = tags.get("k").unwrap_or("rsa").eq_ignore_ascii_case(algorithm.key_type());
    let strict = tags.parts("t").is_some_and(|mut flags| flags.any(|f| f == "s"));
    if !of_type || !lists("h", &["sha256"]) || !lists("s", &["*", "email"]) || strict && below {
        return Err(KeyError::Unusable);
    }
    let key = tags.binary("p").ok_or(KeyError::Unusable)?;
    if key.is_empty() {
        return Err(KeyError::Revoked);
    }
    Ok(PublicKey(key))
}

impl PublicKey {
    /// Whether a signature over `data` was made with the private half.
    pub fn verifies(&self, algorithm: Algorithm, data: &[u8], signature: &[u8]) -> bool {
        match algorithm {
            Algorithm::Rsa => {
                UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, &self.0)
                    .verify(data, signature)
                    .is_ok()
            }
            // RFC 8463 3: over the hash, not the text.
            Algorithm::Ed25519 => UnparsedPublicKey::new(&ED25519, &self.0)
                .verify(digest(&SHA256, data).as_ref(), signature)
                .is_ok(),
        }
    }
}
