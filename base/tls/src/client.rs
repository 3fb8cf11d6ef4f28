//! The client's side (TLS_README "Client-side TLS"). Sessions are not resumed: each handshake proves anew who the server is.

use crate::{
    Authorities, Failure, Files, Handshakes, KeyFiles, Problem, Session,
    ca::Anchors,
    certs::Certificate,
    keys,
    signing::{Signed, noting},
    stamp::Fresh,
    trust::{Usage, judge},
    verifier::Verifier,
};
use base_net::BoxIo;
use rustls::{
    ClientConfig, SignatureScheme, SupportedProtocolVersion,
    client::{ResolvesClientCert, Resumption},
    crypto::CryptoProvider,
    pki_types::ServerName,
    sign::CertifiedKey,
};
use std::{net::Ipv4Addr, path::Path, sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// What a client has configured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectorOptions {
    /// Certificates and keys to show when the server asks.
    pub keys: Vec<KeyFiles>,
    /// Who may sign certificates of servers.
    pub authorities: Authorities,
    /// Protocols and ciphers.
    pub handshakes: Handshakes,
}

/// Whom the handshake is with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The server name to ask for (SNI).
    pub sni: Option<String>,
}

/// A client.
pub struct Connector {
    options: ConnectorOptions,
    files: Files,
    ready: Fresh<ClientReady>,
}

/// Everything read.
pub struct ClientReady {
    keys: Vec<Arc<CertifiedKey>>,
    anchors: Anchors,
    provider: Arc<CryptoProvider>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl Connector {
    /// Reads nothing yet.
    pub fn new(options: ConnectorOptions, files: Files) -> Self {
        let paths = options.keys.iter().flat_map(KeyFiles::files).chain(options.authorities.files());
        let ready = Fresh::new(paths.map(Path::to_owned).collect());
        Self { options, files, ready }
    }

    /// Certificates and all else as they are now, and what is to be logged about renewed files.
    pub fn ready(&self) -> (Result<Arc<ClientReady>, Problem>, Vec<String>) {
        self.ready.get(&self.files, || {
            let o = &self.options;
            let provider = o.handshakes.provider();
            Ok(ClientReady {
                versions: o.handshakes.versions()?,
                anchors: o.authorities.read(&self.files)?,
                keys: keys::load(&o.keys, &self.files, &provider)?,
                provider,
            })
        })
    }

    /// Shakes hands with a server, whoever it is: judging is the caller's work.
    pub async fn connect(
        &self,
        ready: &ClientReady,
        io: BoxIo,
        target: &Target,
        limit: Duration,
    ) -> Result<(BoxIo, Session), Failure> {
        let server = Signed::default();
        let client = Arc::new(Own { keys: ready.keys.clone(), signed: Signed::default() });
        let name = target.sni.clone().and_then(|n| ServerName::try_from(n).ok());
        let mut config =
            ready.config(&server, &client).map_err(|e| Failure::of(&std::io::Error::other(e)))?;
        config.enable_sni = name.is_some();
        let name = name.unwrap_or_else(|| ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into()));
        let connector = TlsConnector::from(Arc::new(config));
        let stream = timeout(limit, connector.connect(name, io))
            .await
            .map_err(|_| Failure::TimedOut)?
            .map_err(|e| Failure::of(&e))?;
        let session = {
            let c = stream.get_ref().1;
            let chain = c.peer_certificates().unwrap_or_default();
            let algorithms = &ready.provider.signature_verification_algorithms;
            let spki = chain.first().and_then(Certificate::of).map(|c| c.spki).unwrap_or_default();
            let own = ready.keys.first().and_then(|k| Certificate::of(k.cert.first()?)).map(|c| c.spki);
            Session {
                server_signature: server.signature(&spki),
                client_signature: client.signed.signature(&own.unwrap_or_default()),
                sni: target.sni.clone().unwrap_or_default(),
                ..Session::of(c)
            }
            .with_peer(chain, |chain| judge(chain, &ready.anchors, algorithms, Usage::Server))
        };
        Ok((Box::new(stream), session))
    }
}

impl ClientReady {
    fn config(&self, server: &Signed, client: &Arc<Own>) -> Result<ClientConfig, rustls::Error> {
        let verifier = Verifier {
            algorithms: self.provider.signature_verification_algorithms,
            hints: Vec::new(),
            signed: server.clone(),
            demand: None,
        };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&self.versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::clone(client) as _);
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// Our certificates for servers that ask.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) keys: Vec<Arc<CertifiedKey>>,
    pub(crate) signed: Signed,
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let key = self.keys.iter().find(|k| k.key.choose_scheme(schemes).is_some())?;
        Some(noting(key, &self.signed))
    }

    fn has_certs(&self) -> bool {
        !self.keys.is_empty()
    }
}
