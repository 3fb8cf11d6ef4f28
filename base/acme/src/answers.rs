//! What the certificate authority is to find when it looks at us (RFC 8555 8.3, RFC 8737): kept while an order is under way.

use crate::{AcmeError, jws::sha256};
use rustls::{crypto::CryptoProvider, pki_types::PrivateKeyDer, sign::CertifiedKey};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// How names are proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Challenge {
    /// A file on port 80.
    #[default]
    Http,
    /// A certificate on port 443.
    TlsAlpn,
}

impl Challenge {
    /// The word of RFC 8555.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http-01",
            Self::TlsAlpn => "tls-alpn-01",
        }
    }

    /// By that word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Http, Self::TlsAlpn].into_iter().find(|c| c.name() == word)
    }
}

/// Answers that wait for their questions. Cheap to clone: all clones are one.
#[derive(Clone, Default)]
pub struct Answers {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// By token.
    texts: HashMap<String, String>,
    /// By name, in lower case.
    certificates: HashMap<String, Arc<CertifiedKey>>,
}

impl Answers {
    fn inner<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The answer to a challenge for a name.
    pub(crate) fn put(
        &self,
        challenge: Challenge,
        name: &str,
        token: &str,
        authorization: &str,
    ) -> Result<(), AcmeError> {
        match challenge {
            Challenge::Http => {
                self.inner(|i| i.texts.insert(token.to_owned(), authorization.to_owned()));
            }
            Challenge::TlsAlpn => {
                let certificate = proof(name, authorization)?;
                self.inner(|i| i.certificates.insert(name.to_ascii_lowercase(), certificate));
            }
        }
        Ok(())
    }

    /// The order is done.
    pub(crate) fn clear(&self) {
        self.inner(|i| *i = Inner::default());
    }

    pub(crate) fn text(&self, token: &str) -> Option<String> {
        self.inner(|i| i.texts.get(token).cloned())
    }

    pub(crate) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.inner(|i| i.certificates.get(&name.to_ascii_lowercase()).cloned())
    }
}

/// A certificate signed by itself that has the digest of the key authorization (RFC 8737 3).
fn proof(name: &str, authorization: &str) -> Result<Arc<CertifiedKey>, AcmeError> {
    let made = || -> Result<_, rcgen::Error> {
        let key = rcgen::KeyPair::generate()?;
        let mut params = rcgen::CertificateParams::new([name.to_owned()])?;
        let digest = sha256(authorization.as_bytes());
        params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(&digest)];
        Ok((params.self_signed(&key)?, key))
    };
    let (certificate, key) = made().map_err(|_| AcmeError::Key)?;
    let der = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider: CryptoProvider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(der).map_err(|_| AcmeError::Key)?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}
