//! Private keys for signatures: read from PEM (PKCS#8, or PKCS#1 for RSA), made anew, and their DNS record.

use crate::{dkim::Algorithm, tags};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa,
    signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// No PEM block of a private key.
    #[error("no private key in PEM format")]
    NoPem,
    /// Neither RSA nor Ed25519, or damaged.
    #[error("neither an RSA nor an Ed25519 private key")]
    Unknown,
    /// It could not be made.
    #[error("the key could not be made")]
    NotMade,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

/// A private key with the domain and selector that it signs for.
pub struct SigningKey {
    /// `d=`
    pub domain: String,
    /// `s=`
    pub selector: String,
    pair: Pair,
}

impl SigningKey {
    /// From PEM text.
    pub fn from_pem(domain: &str, selector: &str, pem: &[u8]) -> Result<Self, KeyFault> {
        let pair = parse(pem)?;
        Ok(Self { domain: domain.to_ascii_lowercase(), selector: selector.to_owned(), pair })
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Rsa(_) => Algorithm::Rsa,
            Pair::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// The signature over `data`; `None`: the key does not work.
    pub(crate) fn sign(&self, data: &[u8]) -> Option<Vec<u8>> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut out).ok()?;
                Some(out)
            }
            Pair::Ed25519(pair) => {
                let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data);
                Some(pair.sign(hash.as_ref()).as_ref().to_vec())
            }
        }
    }

    /// The value of the TXT record at `selector._domainkey.domain`.
    pub fn dns_record(&self) -> Result<String, KeyFault> {
        let public = match &self.pair {
            Pair::Rsa(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyFault::NotMade)?;
                der.as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        };
        Ok(format!("v=DKIM1; k={}; p={}", self.algorithm().key_type(), tags::base64(&public)))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}:{})", self.domain, self.selector)
    }
}

/// The kinds of new keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewKey {
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 4096 bits.
    Rsa4096,
    /// Ed25519.
    Ed25519,
}

/// A new private key as PEM text (PKCS#8).
pub fn generate(kind: NewKey) -> Result<String, KeyFault> {
    let rsa = |size| -> Result<Vec<u8>, KeyFault> {
        let pair = rsa::KeyPair::generate(size).map_err(|_| KeyFault::NotMade)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyFault::NotMade)?;
        Ok(der.as_ref().to_vec())
    };
    let der = match kind {
        NewKey::Rsa2048 => rsa(rsa::KeySize::Rsa2048)?,
        NewKey::Rsa4096 => rsa(rsa::KeySize::Rsa4096)?,
        NewKey::Ed25519 => {
            let der =
                Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(|_| KeyFault::NotMade)?;
            der.as_ref().to_vec()
        }
    };
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let text = tags::base64(&der);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Ok(pem)
}

fn parse(pem: &[u8]) -> Result<Pair, KeyFault> {
    let text = std::str::from_utf8(pem).map_err(|_| KeyFault::NoPem)?;
    let (_, rest) = text.split_once("-----BEGIN ").ok_or(KeyFault::NoPem)?;
    let (label, rest) = rest.split_once("-----").ok_or(KeyFault::NoPem)?;
    let (body, _) = rest.split_once("-----END ").ok_or(KeyFault::NoPem)?;
    let der = tags::decode(body).ok_or(KeyFault::NoPem)?;
    match label {
        "RSA PRIVATE KEY" => {
            RsaKeyPair::from_der(&der).map(|p| Pair::Rsa(Box::new(p))).map_err(|_| KeyFault::Unknown)
        }
        "PRIVATE KEY" => match RsaKeyPair::from_pkcs8(&der) {
            Ok(pair) => Ok(Pair::Rsa(Box::new(pair))),
            Err(_) => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
                .map(Pair::Ed25519)
                .map_err(|_| KeyFault::Unknown),
        },
        _ => Err(KeyFault::NoPem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_and_read() {
        for (kind, algorithm) in [(NewKey::Rsa2048, Algorithm::Rsa), (NewKey::Ed25519, Algorithm::Ed25519)] {
            let pem = generate(kind).expect("a key");
            let key = SigningKey::from_pem("Example.org", "s", pem.as_bytes()).expect("read back");
            assert_eq!((key.algorithm(), key.domain.as_str()), (algorithm, "example.org"));
            assert!(
                key.dns_record()
                    .is_ok_and(|r| r.starts_with(&format!("v=DKIM1; k={}; p=", algorithm.key_type())))
            );
            assert!(key.sign(b"x").is_some());
        }
        for bad in
            ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN X-----\n"]
        {
            assert!(SigningKey::from_pem("d", "s", bad.as_bytes()).is_err());
        }
    }
}
