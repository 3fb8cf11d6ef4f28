//! The client's side (TLS_README "Client-side TLS"). A session goes on with the server that it was made with, where the options
//! allow it; the certificate that the server has shown then is judged anew each time.

use crate::{
    Authorities, Failure, Files, Handshakes, KeyFiles, Problem, Session,
    ca::Anchors,
    certs::Certificate,
    keys,
    session::Signature,
    signing::{HANDSHAKE, Marks, Signed, noting},
    stamp::Fresh,
    trust::{Usage, judge},
    verifier::Verifier,
};
use base_net::BoxIo;
use rustls::{
    ClientConfig, SignatureScheme, SupportedProtocolVersion,
    client::{ClientSessionMemoryCache, ResolvesClientCert, Resumption},
    crypto::CryptoProvider,
    pki_types::ServerName,
    sign::CertifiedKey,
};
use std::{
    collections::HashMap,
    net::Ipv4Addr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
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
    /// How long a session may go on (`smtp_tls_session_cache_timeout`); `None`: never.
    pub resume: Option<Duration>,
}

/// The most servers whose sessions are kept.
const MAX_SERVERS: usize = 1000;

/// Whom the handshake is with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The server name to ask for (SNI).
    pub sni: Option<String>,
    /// What its sessions are kept under; empty: this one does not go on.
    pub session: String,
}

/// A client.
pub struct Connector {
    options: ConnectorOptions,
    files: Files,
    ready: Fresh<ClientReady>,
}

/// Everything read.
pub struct ClientReady {
    own: Arc<Own>,
    verifier: Arc<Verifier>,
    /// By server, with when the first was made.
    sessions: Mutex<HashMap<String, (Instant, Arc<ClientSessionMemoryCache>)>>,
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
            let keys = keys::load(&o.keys, &self.files, &provider)?;
            Ok(ClientReady {
                versions: o.handshakes.versions()?,
                anchors: o.authorities.read(&self.files)?,
                own: Arc::new(Own { keys, signed: Signed::Client }),
                verifier: Arc::new(Verifier {
                    algorithms: provider.signature_verification_algorithms,
                    hints: Vec::new(),
                    signed: Signed::Server,
                    demand: None,
                }),
                sessions: Mutex::default(),
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
        let marks = Marks::default();
        let name = target.sni.clone().and_then(|n| ServerName::try_from(n).ok());
        let mut config =
            ready.config(target, self.options.resume).map_err(|e| Failure::of(&std::io::Error::other(e)))?;
        config.enable_sni = name.is_some();
        let name = name.unwrap_or_else(|| ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into()));
        let connector = TlsConnector::from(Arc::new(config));
        let stream = timeout(limit, HANDSHAKE.scope(marks.clone(), connector.connect(name, io)))
            .await
            .map_err(|_| Failure::TimedOut)?
            .map_err(|e| Failure::of(&e))?;
        let session = {
            let c = stream.get_ref().1;
            let chain = c.peer_certificates().unwrap_or_default();
            let algorithms = &ready.provider.signature_verification_algorithms;
            let spki = chain.first().and_then(Certificate::of).map(|c| c.spki).unwrap_or_default();
            let own = ready.own.keys.first().and_then(|k| Certificate::of(k.cert.first()?)).map(|c| c.spki);
            let agreed = Session::of(c);
            Session {
                server_signature: match agreed.resumed {
                    true => Signature::of_key(&spki),
                    false => marks.server.signature(&spki),
                },
                client_signature: marks.client.signature(&own.unwrap_or_default()),
                sni: target.sni.clone().unwrap_or_default(),
                ..agreed
            }
            .with_peer(chain, |chain| judge(chain, &ready.anchors, algorithms, Usage::Server))
        };
        Ok((Box::new(stream), session))
    }
}

impl ClientReady {
    fn config(&self, target: &Target, resume: Option<Duration>) -> Result<ClientConfig, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&self.versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&self.verifier) as _)
            .with_client_cert_resolver(Arc::clone(&self.own) as _);
        config.resumption = match resume.filter(|_| !target.session.is_empty()) {
            Some(time) => Resumption::store(self.sessions(target, time)),
            None => Resumption::disabled(),
        };
        Ok(config)
    }

    /// The sessions with a server.
    fn sessions(&self, target: &Target, time: Duration) -> Arc<ClientSessionMemoryCache> {
        let key = format!("{} {}", target.session, target.sni.as_deref().unwrap_or_default());
        let mut all = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_old = |made: &Instant| now.duration_since(*made) >= time;
        if all.len() >= MAX_SERVERS && !all.contains_key(&key) {
            all.retain(|_, (made, _)| !is_old(made));
            if all.len() >= MAX_SERVERS {
                all.clear();
            }
        }
        let fresh = || (now, Arc::new(ClientSessionMemoryCache::new(1)));
        let kept = all.entry(key).or_insert_with(fresh);
        if is_old(&kept.0) {
            *kept = fresh();
        }
        Arc::clone(&kept.1)
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
