//! A key of ours that remembers how it signed: rustls does not tell, and the log shows it.

use crate::session::Signature;
use rustls::{
    SignatureAlgorithm, SignatureScheme,
    pki_types::SubjectPublicKeyInfoDer,
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, Signer, SigningKey},
};
use std::sync::{Arc, Mutex, PoisonError};

/// The signature of one handshake, once there is one.
#[derive(Debug, Clone)]
pub(crate) enum Signed {
    /// Kept here.
    Here(Arc<Mutex<Option<SignatureScheme>>>),
    /// The server's of the [`HANDSHAKE`] under way: what resumes sessions must be the same object in all of them.
    Server,
    /// The client's of it.
    Client,
}

/// Both signatures of a client's handshake.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    pub(crate) server: Signed,
    pub(crate) client: Signed,
}

tokio::task_local! {
    /// The handshake that this task is in.
    pub(crate) static HANDSHAKE: Marks;
}

impl Default for Signed {
    fn default() -> Self {
        Self::Here(Arc::default())
    }
}

impl Signed {
    pub(crate) fn set(&self, scheme: SignatureScheme) {
        // Without a handshake nobody asks for its signatures.
        let _ = match self {
            Self::Here(place) => {
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(scheme);
                Ok(())
            }
            Self::Server => HANDSHAKE.try_with(|h| h.server.set(scheme)),
            Self::Client => HANDSHAKE.try_with(|h| h.client.set(scheme)),
        };
    }

    /// With the key that signed.
    pub(crate) fn signature(&self, spki: &[u8]) -> Option<Signature> {
        let Self::Here(place) = self else { return None };
        let scheme = *place.lock().unwrap_or_else(PoisonError::into_inner);
        scheme.map(|s| Signature::new(s, spki))
    }
}

/// A key that notes the scheme it is asked for.
#[derive(Debug)]
struct Noting {
    key: Arc<dyn SigningKey>,
    signed: Signed,
}

impl SigningKey for Noting {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = self.key.choose_scheme(offered)?;
        self.signed.set(signer.scheme());
        Some(signer)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

/// The same certificate with a key that notes.
pub(crate) fn noting(key: &CertifiedKey, signed: &Signed) -> Arc<CertifiedKey> {
    let noting = Noting { key: Arc::clone(&key.key), signed: signed.clone() };
    Arc::new(CertifiedKey::new(key.cert.clone(), Arc::new(noting)))
}

/// Hands out the first of several certificates that the client can check.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) keys: Vec<Arc<CertifiedKey>>,
    pub(crate) signed: Signed,
    /// The one that was taken.
    pub(crate) chosen: Arc<Mutex<Option<Arc<CertifiedKey>>>>,
}

impl Choice {
    pub(crate) fn of(keys: &[Arc<CertifiedKey>]) -> Self {
        Self { keys: keys.to_vec(), signed: Signed::default(), chosen: Arc::default() }
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        // Elliptic curves first: smaller and faster, as OpenSSL chooses.
        let rank = |k: &&Arc<CertifiedKey>| u8::from(k.key.algorithm() == SignatureAlgorithm::RSA);
        let mut able: Vec<_> = self.keys.iter().filter(|k| k.key.choose_scheme(schemes).is_some()).collect();
        able.sort_by_key(rank);
        // With none it comes to nothing, but for the right reason: rustls finds no cipher or signature in common.
        let key = able.first().copied().or_else(|| self.keys.first())?;
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(key));
        Some(noting(key, &self.signed))
    }
}
