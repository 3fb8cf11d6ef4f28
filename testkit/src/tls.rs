//! TLS for the scripted client and the fake servers of scenarios: blocking, with keys that are the same in every run.
//!
//! The files stand in /mnt/tls of a scenario's machine: `ca.crt`, and `.crt` and `.key` of `server` (mail.example.com, mx.example.org),
//! `client` (client.example.net), `other` (other.example), all signed by the authority, and `self` (mx.example.org), which is
//! signed by itself; `server.pem` and `other.pem` are chain files. `chained` and `expired` (mx.example.org and their names below
//! dane.example) are signed by `ca2.crt`; the first one brings it along, the second one has expired. Nobody's certificate is checked here.

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use std::{
    fs, io,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    sync::Arc,
};

const FILES: &[(&str, &str)] = &[
    ("ca.crt", include_str!("../keys/ca.crt")),
    ("ca2.crt", include_str!("../keys/ca2.crt")),
    ("chained.crt", include_str!("../keys/chained.crt")),
    ("chained.key", include_str!("../keys/chained.key")),
    ("client.crt", include_str!("../keys/client.crt")),
    ("client.key", include_str!("../keys/client.key")),
    ("expired.crt", include_str!("../keys/expired.crt")),
    ("expired.key", include_str!("../keys/expired.key")),
    ("other.crt", include_str!("../keys/other.crt")),
    ("other.key", include_str!("../keys/other.key")),
    ("other.pem", include_str!("../keys/other.pem")),
    ("self.crt", include_str!("../keys/self.crt")),
    ("self.key", include_str!("../keys/self.key")),
    ("server.crt", include_str!("../keys/server.crt")),
    ("server.key", include_str!("../keys/server.key")),
    ("server.pem", include_str!("../keys/server.pem")),
];

/// A connection, encrypted or not.
pub trait Connection: Read + Write + Send {}

impl<T: Read + Write + Send> Connection for T {}

/// Writes the files.
pub fn write_files(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    FILES.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
}

fn file(name: &str) -> &'static str {
    FILES.iter().find(|(n, _)| *n == name).map_or("", |(_, text)| text)
}

fn pair(name: &str) -> io::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let certs = CertificateDer::pem_slice_iter(file(&format!("{name}.crt")).as_bytes());
    let key = PrivateKeyDer::from_pem_slice(file(&format!("{name}.key")).as_bytes());
    Ok((certs.filter_map(Result::ok).collect(), key.map_err(io::Error::other)?))
}

/// Shakes hands with a server; `cert`: the name of the pair to show.
pub fn connect(
    mut stream: TcpStream,
    sni: Option<&str>,
    cert: Option<&str>,
) -> io::Result<Box<dyn Connection>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)));
    let mut config = match cert {
        Some(name) => {
            let (certs, key) = pair(name)?;
            builder.with_client_auth_cert(certs, key).map_err(io::Error::other)?
        }
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = sni.is_some();
    let name = match sni {
        Some(n) => ServerName::try_from(n.to_owned()).map_err(io::Error::other)?,
        None => ServerName::IpAddress(Ipv4Addr::LOCALHOST.into()),
    };
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

/// Shakes hands with a client, as the named pair.
pub fn accept(mut stream: TcpStream, name: &str) -> io::Result<Box<dyn Connection>> {
    let (certs, key) = pair(name)?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .map_err(io::Error::other)?;
    let mut connection = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

/// Takes any certificate.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
