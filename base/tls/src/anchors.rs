//! Trust anchor files (postconf(5) `smtp_tls_trust_anchor_file`): PEM certificates and public keys that chains must lead to, whatever
//! the authorities are. They need not be roots, and do not expire.

use crate::{Files, Problem, keys, stamp::Fresh};
use rustls::pki_types::pem::{PemObject, SectionKind};
use std::{path::PathBuf, sync::Arc};

/// The most certificates and keys of one list of files.
const MAX: usize = 1000;

/// What the files hold.
#[derive(Debug, Clone, Default)]
pub struct TrustAnchors {
    /// Certificates.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// SubjectPublicKeyInfo.
    pub(crate) keys: Vec<Vec<u8>>,
}

/// A list of files; read when they are needed, and again when they have changed.
pub struct AnchorFiles {
    paths: Vec<PathBuf>,
    files: Files,
    ready: Fresh<TrustAnchors>,
}

impl AnchorFiles {
    /// Reads nothing yet.
    pub fn new(paths: Vec<PathBuf>, files: Files) -> Self {
        Self { ready: Fresh::new(paths.clone()), paths, files }
    }

    /// The anchors as they are now, and what is to be logged about renewed files.
    pub fn ready(&self) -> (Result<Arc<TrustAnchors>, Problem>, Vec<String>) {
        self.ready.get(&self.files, || self.read())
    }

    fn read(&self) -> Result<TrustAnchors, Problem> {
        let mut all = TrustAnchors::default();
        for path in &self.paths {
            let shown = path.display();
            let pem = keys::read(&self.files, path).map_err(|e| {
                Problem::new(format!("error opening trust anchor file: {shown}: {}", base_net::os_text(&e)))
            })?;
            let before = all.len();
            for (kind, der) in <(SectionKind, Vec<u8>)>::pem_slice_iter(&pem).filter_map(Result::ok) {
                match kind {
                    SectionKind::Certificate => all.certificates.push(der),
                    SectionKind::PublicKey => all.keys.push(der),
                    _ => {}
                }
            }
            if all.len() == before || all.len() > MAX {
                return Err(Problem::new(format!("error loading trust anchors from file: {shown}")));
            }
        }
        Ok(all)
    }
}

impl TrustAnchors {
    fn len(&self) -> usize {
        self.certificates.len() + self.keys.len()
    }
}
