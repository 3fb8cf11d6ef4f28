//! Answering a certificate authority that looks at our ports: HTTP on one, TLS with the protocol `acme-tls/1` on the other
//! (RFC 8555 8.3, RFC 8737). The first byte tells which it is. Nobody else gets anything; time and size are bounded.

use crate::Answers;
use base_net::BoxIo;
use rustls::{
    ServerConfig,
    server::{Acceptor, ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{io::Cursor, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tokio_rustls::LazyConfigAcceptor;

const PATIENCE: Duration = Duration::from_secs(10);
const MAX_REQUEST: u64 = 8192;
const PATH: &str = "/.well-known/acme-challenge/";
const PROTOCOL: &[u8] = b"acme-tls/1";
/// A handshake record of TLS starts with it.
const HANDSHAKE: u8 = 0x16;

impl Answers {
    /// Serves one connection to its end. Whatever goes wrong concerns the other side only.
    pub async fn serve(&self, io: BoxIo) {
        let _ = timeout(PATIENCE, self.respond(io)).await;
    }

    async fn respond(&self, mut io: BoxIo) -> Option<()> {
        let first = io.read_u8().await.ok()?;
        let (read, write) = tokio::io::split(io);
        let io = tokio::io::join(Cursor::new([first]).chain(read), write);
        match first {
            HANDSHAKE => self.tls(io).await,
            _ => self.http(io).await,
        }
    }

    async fn http(&self, mut io: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let mut request = Vec::new();
        let mut limited = (&mut io).take(MAX_REQUEST);
        while !request.windows(4).any(|w| w == b"\r\n\r\n") {
            if limited.read_buf(&mut request).await.ok()? == 0 {
                return None;
            }
        }
        let line = request.split(|b| *b == b'\r').next().and_then(|l| std::str::from_utf8(l).ok())?;
        let path = line.strip_prefix("GET ").and_then(|l| l.split(' ').next());
        let found = path.and_then(|p| p.strip_prefix(PATH)).and_then(|token| self.text(token));
        let (status, body) = match found {
            Some(text) => ("200 OK", text),
            None => ("404 Not Found", String::new()),
        };
        let len = body.len();
        let head = "Content-Type: application/octet-stream\r\nConnection: close\r\nContent-Length: ";
        let reply = format!("HTTP/1.1 {status}\r\n{head}{len}\r\n\r\n{body}");
        io.write_all(reply.as_bytes()).await.ok()?;
        io.shutdown().await.ok()
    }

    async fn tls(&self, io: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), io).await.ok()?;
        let hello = start.client_hello();
        hello.alpn()?.find(|p| *p == PROTOCOL)?;
        let certificate = self.certificate(hello.server_name()?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .ok()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Only(certificate)));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        let mut stream = start.into_stream(Arc::new(config)).await.ok()?;
        stream.shutdown().await.ok()
    }
}

/// One certificate for everybody.
#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Challenge;

    async fn ask(answers: &Answers, request: &str) -> String {
        let (mut client, server) = tokio::io::duplex(16_384);
        client.write_all(request.as_bytes()).await.expect("room");
        client.shutdown().await.expect("open");
        answers.serve(Box::new(server)).await;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("text");
        answer
    }

    #[tokio::test]
    async fn files() {
        let answers = Answers::default();
        answers.put(Challenge::Http, "a.example", "tok", "tok.print").expect("answer");
        let question = "GET /.well-known/acme-challenge/tok HTTP/1.1\r\nHost: a.example\r\n\r\n";
        let answer = ask(&answers, question).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\ntok.print"),
            "{answer}"
        );
        for other in [
            "GET /.well-known/acme-challenge/other HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "POST /.well-known/acme-challenge/tok HTTP/1.1\r\n\r\n",
        ] {
            assert!(ask(&answers, other).await.starts_with("HTTP/1.1 404 "), "{other}");
        }
        assert_eq!(ask(&answers, &"x".repeat(10_000)).await, "");
        assert_eq!(ask(&answers, "\u{16}\u{3}\u{1}").await, "");
        answers.clear();
        assert!(ask(&answers, question).await.starts_with("HTTP/1.1 404 "));
    }
}
