//! TLS towards servers of tables: certificates to trust and to show, from files as the settings name them.
//!
//! Without verification any certificate is taken, as the clients of Postfix do by default; the connection is then
//! private, but its other end is not proven. mysql_table(5), ldap_table(5), the PostgreSQL URI's `ssl…` settings.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// The most certificates of a file or folder.
const MAX_CERTIFICATES: usize = 2000;
/// Where Debian keeps the authorities that everybody trusts.
const SYSTEM_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How far the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Not at all.
    Nothing,
    /// An authority that we trust made it.
    Authority,
    /// That, and it has the server's name.
    Name,
}

/// The files that the settings name; empty for none.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Authorities.
    pub ca_file: String,
    /// A folder of authorities; without both the system's are trusted.
    pub ca_dir: String,
    /// Our certificate.
    pub cert: String,
    /// Its key; when empty it is in the same file.
    pub key: String,
}

/// Puts a configuration together; the error says which file is wrong.
pub fn config(files: &Files, verify: Verify) -> Result<ClientConfig, String> {
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(provider()));
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let builder = match verify {
        Verify::Name => builder.with_root_certificates(roots(files)?),
        other => {
            let roots = if other == Verify::Authority { Some(roots(files)?) } else { None };
            let lenient = Arc::new(Lenient { provider, roots });
            builder.dangerous().with_custom_certificate_verifier(lenient)
        }
    };
    if files.cert.is_empty() {
        return Ok(builder.with_no_client_auth());
    }
    let chain = certificates(Path::new(&files.cert))?;
    let key = if files.key.is_empty() { &files.cert } else { &files.key };
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| format!("{key}: {e}"))?;
    builder.with_client_auth_cert(chain, key).map_err(|e| format!("{}: {e}", files.cert))
}

fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |e: rustls::pki_types::pem::Error| format!("{}: {e}", path.display());
    let all = CertificateDer::pem_file_iter(path).map_err(failed)?;
    all.take(MAX_CERTIFICATES).collect::<Result<_, _>>().map_err(failed)
}

fn roots(files: &Files) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    if !files.ca_file.is_empty() {
        store.add_parsable_certificates(certificates(Path::new(&files.ca_file))?);
    } else if !files.ca_dir.is_empty() {
        let folder = std::fs::read_dir(&files.ca_dir).map_err(|e| format!("{}: {e}", files.ca_dir))?;
        for entry in folder.take(MAX_CERTIFICATES).flatten() {
            store.add_parsable_certificates(certificates(&entry.path()).unwrap_or_default());
        }
    } else {
        store.add_parsable_certificates(certificates(Path::new(SYSTEM_FILE))?);
    }
    Ok(store)
}

/// Takes any certificate, or any that an authority made, whatever name it has.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    roots: Option<RootCertStore>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
