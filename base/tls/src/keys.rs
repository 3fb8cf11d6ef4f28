//! Certificates and keys of our own: PEM files as main.cf names them (`*_tls_chain_files`, `*_tls_cert_file` and `_key_file`).
//!
//! Files are read through an opener of the caller's, since keys may be readable by root only. What is wrong with one
//! is a [`Problem`] in Postfix's words; then there is no TLS at all, rather than TLS with some of the keys.

use crate::Problem;
use base_sys::opener::Opener;
use rustls::{
    crypto::CryptoProvider,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{PemObject, SectionKind},
    },
    sign::CertifiedKey,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The largest PEM file.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Opens the files of keys and authorities, which may be readable by root only.
pub type Files = Arc<dyn Opener>;

/// The content of a file.
pub(crate) fn read(files: &Files, path: &Path) -> io::Result<Vec<u8>> {
    files.read(path, MAX_FILE)
}

/// Where one certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFiles {
    /// A certificate with its issuers, and its key; they may be the same file.
    Pair {
        /// `RSA` or `ECDSA`, for the log.
        kind: &'static str,
        /// The certificates, our own first.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Keys, each followed by its certificates.
    Chain(PathBuf),
    /// The same; while there is no such file it is as if nothing were said of it.
    Later(PathBuf),
}

impl KeyFiles {
    pub(crate) fn files(&self) -> Vec<&Path> {
        match self {
            Self::Pair { cert, key, .. } => vec![cert, key],
            Self::Chain(path) | Self::Later(path) => vec![path],
        }
    }
}

/// Reads all of them.
pub(crate) fn load(
    files: &[KeyFiles],
    from: &Files,
    provider: &CryptoProvider,
) -> Result<Vec<Arc<CertifiedKey>>, Problem> {
    let mut all = Vec::new();
    for f in files {
        match f {
            KeyFiles::Pair { kind, cert, key } => all.push(pair(kind, cert, key, from, provider)?),
            KeyFiles::Chain(path) | KeyFiles::Later(path) => {
                let pem = match read(from, path) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound && matches!(f, KeyFiles::Later(_)) => {
                        continue;
                    }
                    pem => pem.map_err(|e| cannot_open(path, &e))?,
                };
                all.extend(chain(&pem, &path.display().to_string(), provider)?);
            }
        }
    }
    Ok(all)
}

fn cannot_open(path: &Path, e: &io::Error) -> Problem {
    Problem::new(format!("error opening chain file: {}: {}", path.display(), base_net::os_text(e)))
}

fn pair(
    kind: &str,
    cert: &Path,
    key: &Path,
    from: &Files,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, Problem> {
    let bad = |what: &str, path: &Path, code: &str| {
        let then =
            format!("cannot get {kind} {what} from file \"{}\": disabling TLS support", path.display());
        Problem::library(code, then)
    };
    let pem = read(from, cert).map_err(|e| cannot_open(cert, &e))?;
    let certs: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
    if certs.is_empty() {
        return Err(bad(
            "certificate",
            cert,
            "0480006C:PEM routines::no start line:../crypto/pem/pem_lib.c:763:Expecting: CERTIFICATE",
        ));
    }
    let no_key = || {
        bad(
            "private key",
            key,
            "1E08010C:DECODER routines::unsupported:../crypto/encode_decode/decoder_lib.c:103:No supported data to decode. Input type: PEM",
        )
    };
    let pem = read(from, key).map_err(|e| cannot_open(key, &e))?;
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| no_key())?;
    let signing = provider.key_provider.load_private_key(der).map_err(|_| no_key())?;
    let certified = CertifiedKey::new(certs, signing);
    certified.keys_match().map_err(|_| {
        bad(
            "private key",
            key,
            "05800074:x509 certificate routines::key values mismatch:../crypto/x509/x509_cmp.c:403",
        )
    })?;
    Ok(Arc::new(certified))
}

/// A text of keys, each followed by its certificates; `name` is for the log.
pub(crate) fn chain(
    pem: &[u8],
    name: &str,
    provider: &CryptoProvider,
) -> Result<Vec<Arc<CertifiedKey>>, Problem> {
    let bad = |what: &str| Problem::new(format!("error loading chain from {name}: {what}"));
    let mut groups: Vec<(PrivateKeyDer<'static>, Vec<CertificateDer<'static>>)> = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = section.map_err(|_| bad("malformed PEM data"))?;
        let key = match kind {
            SectionKind::Certificate => {
                let (_, certs) = groups.last_mut().ok_or_else(|| bad("key not first"))?;
                certs.push(der.into());
                continue;
            }
            SectionKind::PrivateKey => PrivateKeyDer::Pkcs8(der.into()),
            SectionKind::RsaPrivateKey => PrivateKeyDer::Pkcs1(der.into()),
            SectionKind::EcPrivateKey => PrivateKeyDer::Sec1(der.into()),
            _ => continue,
        };
        groups.push((key, Vec::new()));
    }
    if groups.is_empty() {
        return Err(bad("no keys found"));
    }
    let mut out = Vec::new();
    for (key, certs) in groups {
        if certs.is_empty() {
            return Err(bad("key without certificate"));
        }
        let signing = provider.key_provider.load_private_key(key).map_err(|_| bad("unsupported key"))?;
        let certified = CertifiedKey::new(certs, signing);
        certified.keys_match().map_err(|_| bad("key at index 0 does not match its certificate"))?;
        out.push(Arc::new(certified));
    }
    Ok(out)
}
