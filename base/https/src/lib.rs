//! A small HTTPS client (RFC 9110, 9112) for what a mail server fetches or asks by itself: ACME, OAuth tokens, policies.
//!
//! One connection for each request, HTTP/1.1, no redirects, no proxies, no cookies. The server's certificate must lead to an
//! authority that the caller trusts and have the name of the address. Time and size of a response are bounded; every
//! error is an [`HttpsError`] that can be logged as it is.

mod message;

pub use message::{Request, Response, Url};

use base_net::{ConnectOptions, connect, os_text};
use base_tls::{Authorities, Check, Files, library_config};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

/// The most addresses of a host that are tried.
const MAX_ADDRESSES: usize = 8;

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpsError {
    /// Not `https://host[:port][/path]`.
    #[error("bad address: {0}")]
    BadUrl(String),
    /// The host is not known, not there, or does not talk to us.
    #[error("{host}: {why}")]
    Connect {
        /// The host.
        host: String,
        /// What the system or TLS said.
        why: String,
    },
    /// The host is not who it should be.
    #[error("{host}: {why}")]
    Untrusted {
        /// The host.
        host: String,
        /// What is wrong with its certificate.
        why: String,
    },
    /// What came is no response, or longer than allowed.
    #[error("{0}: no valid response")]
    Malformed(String),
    /// Took too long.
    #[error("{0}: timed out")]
    TimedOut(String),
}

/// A client.
#[derive(Clone)]
pub struct Https {
    config: Arc<ClientConfig>,
    time: Duration,
    size: usize,
}

impl Https {
    /// A client that trusts `authorities`, waits `time` for a whole response, and reads `size` bytes of it at most. The error
    /// says which file of the authorities is wrong.
    pub fn new(
        authorities: &Authorities,
        files: &Files,
        time: Duration,
        size: usize,
    ) -> Result<Self, String> {
        let config = library_config(&[], authorities, Check::Name, files)?;
        Ok(Self { config: Arc::new(config), time, size })
    }

    /// Sends a request to the server that `url` names, found by the system's resolver.
    pub async fn send(&self, url: &str, request: Request<'_>) -> Result<Response, HttpsError> {
        let parsed = Url::parse(url).ok_or_else(|| HttpsError::BadUrl(url.to_owned()))?;
        let work = async {
            let addresses = tokio::net::lookup_host((parsed.host.as_str(), parsed.port)).await;
            let addresses = addresses.map_err(|e| refused(&parsed, &e))?.take(MAX_ADDRESSES);
            self.exchange(&parsed, &addresses.collect::<Vec<_>>(), request).await
        };
        self.limited(&parsed, work).await
    }

    /// Sends it to these addresses, the first that can be connected to.
    pub async fn send_to(
        &self,
        url: &str,
        addresses: &[SocketAddr],
        request: Request<'_>,
    ) -> Result<Response, HttpsError> {
        let parsed = Url::parse(url).ok_or_else(|| HttpsError::BadUrl(url.to_owned()))?;
        self.limited(&parsed, self.exchange(&parsed, addresses, request)).await
    }

    async fn limited(
        &self,
        url: &Url,
        work: impl Future<Output = Result<Response, HttpsError>>,
    ) -> Result<Response, HttpsError> {
        let done = tokio::time::timeout(self.time, work).await;
        done.unwrap_or_else(|_| Err(HttpsError::TimedOut(url.host.clone())))
    }

    async fn exchange(
        &self,
        url: &Url,
        addresses: &[SocketAddr],
        request: Request<'_>,
    ) -> Result<Response, HttpsError> {
        let failed = |e: io::Error| refused(url, &e);
        let mut last = io::Error::other("no addresses");
        let mut found = None;
        for address in addresses {
            match connect(*address, &ConnectOptions::within(self.time / 2)).await {
                Ok(socket) => {
                    found = Some(socket);
                    break;
                }
                Err(e) => last = e,
            }
        }
        let socket = found.ok_or_else(|| failed(last))?;
        let name = ServerName::try_from(url.host.clone()).map_err(|e| failed(io::Error::other(e)))?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let mut stream = connector.connect(name, socket.boxed()).await.map_err(|e| untrusted(url, e))?;
        stream.write_all(&request.bytes(url)).await.map_err(failed)?;
        stream.flush().await.map_err(failed)?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(self.size).unwrap_or(u64::MAX);
        let whole = match (&mut stream).take(limit.saturating_add(1)).read_to_end(&mut bytes).await {
            Ok(_) => true,
            // Servers that do not say goodbye: the response's length tells whether it is complete.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(e) => return Err(failed(e)),
        };
        let malformed = || HttpsError::Malformed(url.host.clone());
        if bytes.len() > self.size {
            return Err(malformed());
        }
        Response::parse(&bytes, request.method == "HEAD", whole).ok_or_else(malformed)
    }
}

/// Why a handshake failed.
fn untrusted(url: &Url, error: io::Error) -> HttpsError {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => {
            HttpsError::Untrusted { host: url.host.clone(), why: os_text(&error) }
        }
        _ => refused(url, &error),
    }
}

fn refused(url: &Url, error: &io::Error) -> HttpsError {
    HttpsError::Connect { host: url.host.clone(), why: os_text(error) }
}
