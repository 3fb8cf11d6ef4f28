//! The server's side (RFC 8446, 5246; TLS_README "Server-side TLS").

use crate::{
    Authorities, Failure, Files, Handshakes, KeyFiles, Problem, Session,
    ca::Anchors,
    certs::Certificate,
    keys,
    session::Signature,
    signing::{Choice, Signed},
    stamp::Fresh,
    trust::{Usage, judge},
    verifier::Verifier,
};
use base_net::BoxIo;
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{Acceptor, NoServerSessionStorage, ProducesTickets},
    sign::CertifiedKey,
};
use std::{
    path::Path,
    pin::Pin,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;

/// What a service has configured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerOptions {
    /// Certificates and keys.
    pub keys: Vec<KeyFiles>,
    /// Who may sign certificates of clients.
    pub authorities: Authorities,
    /// Clients are asked for a certificate.
    pub ask: bool,
    /// Protocols and ciphers.
    pub handshakes: Handshakes,
    /// Our order of ciphers, not the client's.
    pub own_order: bool,
}

/// What `tls_server_sni_maps` says of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sni {
    /// Nothing: the usual certificates.
    Usual,
    /// PEM text: keys, each with its certificates.
    Chain(Vec<u8>),
    /// It cannot be found out: no handshake.
    Failed,
}

/// Looks a name up.
pub type SniMaps = Arc<dyn Fn(&str) -> Pin<Box<dyn Future<Output = Sni> + Send>> + Send + Sync>;

/// A server.
pub struct Server {
    options: ServerOptions,
    files: Files,
    sni: Option<SniMaps>,
    tickets: Option<Arc<dyn ProducesTickets>>,
    ready: Fresh<Ready>,
}

/// How looking a name up went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lookup {
    Done,
    Unmatched,
    Failed,
}

/// Everything read.
pub struct Ready {
    keys: Vec<Arc<CertifiedKey>>,
    anchors: Anchors,
    provider: Arc<CryptoProvider>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl Server {
    /// Reads nothing yet.
    pub fn new(options: ServerOptions, files: Files, sni: Option<SniMaps>) -> Self {
        let paths = options.keys.iter().flat_map(KeyFiles::files).chain(options.authorities.files());
        let ready = Fresh::new(paths.map(Path::to_owned).collect());
        Self { options, files, sni, tickets: aws_lc_rs::Ticketer::new().ok(), ready }
    }

    /// Certificates and all else as they are now. The texts are for the log: renewed files that cannot be used.
    pub fn ready(&self) -> (Result<Arc<Ready>, Problem>, Vec<String>) {
        self.ready.get(&self.files, || self.read())
    }

    fn read(&self) -> Result<Ready, Problem> {
        let o = &self.options;
        let provider = o.handshakes.provider();
        let versions = o.handshakes.versions()?;
        let anchors = if o.ask { o.authorities.read(&self.files)? } else { Anchors::default() };
        let keys = keys::load(&o.keys, &self.files, &provider)?;
        if keys.is_empty() {
            return Err(Problem::new("No server certs available. TLS won't be enabled"));
        }
        Ok(Ready { keys, anchors, provider, versions })
    }

    /// Shakes hands with a client. What it has sent before belongs to nobody any more: the caller has thrown it away.
    pub async fn accept(
        &self,
        ready: &Ready,
        io: BoxIo,
        limit: Duration,
    ) -> Result<(BoxIo, Session), Failure> {
        let due = Instant::now() + limit;
        let hello = timeout_at(due, LazyConfigAcceptor::new(Acceptor::default(), io));
        let start = hello.await.map_err(|_| Failure::TimedOut)?.map_err(|e| Failure::of(&e))?;
        let sni = start.client_hello().server_name().unwrap_or_default().to_owned();
        let (keys, lookup) = self.keys_for(&sni, ready).await;
        let choice = Arc::new(Choice::of(&keys));
        let client = Signed::default();
        let config =
            self.config(ready, &choice, &client).map_err(|e| Failure::of(&std::io::Error::other(e)))?;
        let stream = match timeout_at(due, start.into_stream(Arc::new(config))).await {
            Err(_) => return Err(Failure::TimedOut),
            Ok(Err(_)) if lookup == Lookup::Failed => return Err(Failure::no_certificate()),
            Ok(Err(e)) => return Err(Failure::of(&e)),
            Ok(Ok(stream)) => stream,
        };
        let session = {
            let c = stream.get_ref().1;
            let chain = c.peer_certificates().unwrap_or_default();
            let algorithms = &ready.provider.signature_verification_algorithms;
            let own = choice.chosen.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let own = own.and_then(|k| Certificate::of(k.cert.first()?)).map(|c| c.spki);
            let peer = chain.first().and_then(Certificate::of).map(|c| c.spki).unwrap_or_default();
            let agreed = Session::of(c);
            let signature = |signed: &Signed, spki: &[u8]| match agreed.resumed {
                true => Signature::of_key(spki),
                false => signed.signature(spki),
            };
            Session {
                server_signature: own.and_then(|spki| signature(&choice.signed, &spki)),
                client_signature: signature(&client, &peer),
                sni,
                sni_unmatched: lookup == Lookup::Unmatched,
                ..agreed
            }
            .with_peer(chain, |chain| judge(chain, &ready.anchors, algorithms, Usage::Client))
        };
        Ok((Box::new(stream), session))
    }

    /// The certificates for the name that a client asks for.
    async fn keys_for(&self, name: &str, ready: &Ready) -> (Vec<Arc<CertifiedKey>>, Lookup) {
        let usual = |lookup| (ready.keys.clone(), lookup);
        let Some(maps) = self.sni.as_ref().filter(|_| !name.is_empty()) else { return usual(Lookup::Done) };
        match maps(name).await {
            Sni::Usual => usual(Lookup::Unmatched),
            Sni::Failed => (Vec::new(), Lookup::Failed),
            Sni::Chain(pem) => match keys::chain(&pem, name, &ready.provider) {
                Ok(keys) => (keys, Lookup::Done),
                Err(_) => (Vec::new(), Lookup::Failed),
            },
        }
    }

    fn config(
        &self,
        ready: &Ready,
        choice: &Arc<Choice>,
        signed: &Signed,
    ) -> Result<ServerConfig, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&ready.provider))
            .with_protocol_versions(&ready.versions)?;
        let builder = if self.options.ask {
            builder.with_client_cert_verifier(Arc::new(Verifier {
                algorithms: ready.provider.signature_verification_algorithms,
                hints: ready.anchors.subjects(),
                signed: signed.clone(),
                demand: None,
            }))
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_cert_resolver(Arc::clone(choice) as _);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if let Some(tickets) = &self.tickets {
            config.ticketer = Arc::clone(tickets);
        }
        config.ignore_client_order = self.options.own_order;
        Ok(config)
    }
}
