//! TLS for tokio-postgres: the connector it wants, and the `ssl…` settings of a PostgreSQL URI that it does not know.
//!
//! `sslmode` means what it means to libpq: `disable`, `allow`, `prefer` and `require` do not check the certificate
//! (`require` does when `sslrootcert` is given), `verify-ca` and `verify-full` do.

use crate::tls::{self, Check, Files};
use base_sys::opener::Opener;
use rustls::ClientConfig;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

/// Makes TLS connections.
#[derive(Clone)]
pub struct Connector(Arc<ClientConfig>);

/// One connection to make.
pub struct Connecting {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// A TLS connection.
pub struct Stream<S>(tokio_rustls::client::TlsStream<S>);

/// Takes any certificate.
pub fn unverified(opener: &Arc<dyn Opener>) -> Result<Connector, String> {
    tls::config(&Files::default(), Check::Nothing, opener).map(Connector)
}

/// Takes the `ssl…` settings out of a URI that tokio-postgres would refuse.
pub fn from_uri(uri: &str, opener: &Arc<dyn Opener>) -> Result<(String, Connector), String> {
    let (start, query) = uri.split_once('?').unwrap_or((uri, ""));
    let (mut files, mut verify, mut kept) = (Files::default(), Check::Nothing, Vec::new());
    for setting in query.split('&').filter(|s| !s.is_empty()) {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        match (name, value) {
            ("sslrootcert", "system") => files.ca_file.clear(),
            ("sslrootcert", file) => files.ca_file = decoded(file),
            ("sslcert", file) => files.cert = decoded(file),
            ("sslkey", file) => files.key = decoded(file),
            ("sslmode", "verify-ca") => verify = Check::Authority,
            ("sslmode", "verify-full") => verify = Check::Name,
            ("sslmode", "allow") => kept.push("sslmode=prefer"),
            _ => kept.push(setting),
        }
    }
    if verify != Check::Nothing {
        kept.push("sslmode=require");
    } else if !files.ca_file.is_empty() && kept.contains(&"sslmode=require") {
        verify = Check::Authority;
    }
    let separator = if kept.is_empty() { "" } else { "?" };
    Ok((format!("{start}{separator}{}", kept.join("&")), Connector(tls::config(&files, verify, opener)?)))
}

/// Percent encoding undone.
fn decoded(text: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digits: String = ahead.by_ref().take(2).map(char::from).collect();
        match (byte, u8::from_str_radix(&digits, 16)) {
            (b'%', Ok(code)) if digits.len() == 2 => {
                out.push(code);
                bytes = ahead;
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Connector {
    type Stream = Stream<S>;
    type TlsConnect = Connecting;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Connecting, InvalidDnsNameError> {
        // A local socket has no name, and speaks no TLS.
        let domain = if domain.is_empty() { "localhost" } else { domain };
        Ok(Connecting { config: Arc::clone(&self.0), name: ServerName::try_from(domain.to_owned())? })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Connecting {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connector = tokio_rustls::TlsConnector::from(self.config);
        Box::pin(async move { Ok(Stream(connector.connect(self.name, stream).await?)) })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_uri() {
        let cases = [
            ("postgresql://u@h:1/d", "postgresql://u@h:1/d"),
            (
                "postgresql://h/d?sslmode=verify-full&application_name=x&sslrootcert=%2Fetc%2Fssl%2Fcerts%2Fca-certificates.crt",
                "postgresql://h/d?application_name=x&sslmode=require",
            ),
            ("postgresql://h/d?sslmode=allow", "postgresql://h/d?sslmode=prefer"),
        ];
        let opener: Arc<dyn Opener> = Arc::new(base_sys::opener::Plain);
        let from_uri = |uri| from_uri(uri, &opener);
        for (uri, want) in cases {
            assert_eq!(from_uri(uri).map(|(uri, _)| uri).as_deref(), Ok(want), "{uri}");
        }
        assert!(from_uri("postgresql://h/d?sslmode=verify-ca&sslrootcert=/nonexistent").is_err());
        assert_eq!(decoded("%2fa%zz%4"), "/a%zz%4");
    }
}
