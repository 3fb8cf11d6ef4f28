//! Whom the client believes: a server with the right name and a certificate of a trusted authority, and nobody else; and how much
//! of what it says.

use base_https::{Https, HttpsError, Request};
use base_net::Socket;
use base_sys::opener::Plain;
use base_tls::{Authorities, KeyFiles, Server, ServerOptions};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A certificate for `localhost` that is its own authority.
fn make(path: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    std::fs::write(path, format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem()))
        .expect("written");
}

/// Says the same to everybody who gets through the handshake.
async fn serve(chain: &Path, reply: &'static str) -> u16 {
    let keys = vec![KeyFiles::Chain(chain.to_owned())];
    let tls = Server::new(ServerOptions { keys, ..Default::default() }, Arc::new(Plain), None);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let ready = tls.ready().0.expect("keys");
            let Ok((mut io, _)) = tls.accept(&ready, Socket::Tcp(stream).boxed(), PATIENCE).await else {
                continue;
            };
            let mut request = [0; 1024];
            let _ = io.read(&mut request).await;
            let _ = io.write_all(reply.as_bytes()).await;
            let _ = io.shutdown().await;
        }
    });
    port
}

#[tokio::test]
async fn who_is_believed() {
    let dir = tempfile::tempdir().expect("folder");
    let (right, other) = (dir.path().join("right"), dir.path().join("other"));
    make(&right);
    make(&other);
    let port = serve(&right, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    let ask = async |trusted: &Path, url: String, size: usize| {
        let authorities = Authorities { file: Some(trusted.to_owned()), ..Default::default() };
        let files: base_tls::Files = Arc::new(Plain);
        let https = Https::new(&authorities, &files, PATIENCE, size).expect("client");
        https.send(&url, Request { method: "GET", fields: &[], body: b"" }).await.map(|r| r.body)
    };
    let good = format!("https://localhost:{port}/");
    assert_eq!(ask(&right, good.clone(), 1000).await, Ok(b"hi".to_vec()));
    assert!(matches!(ask(&other, good.clone(), 1000).await, Err(HttpsError::Untrusted { .. })));
    let address = format!("https://127.0.0.1:{port}/");
    assert!(matches!(ask(&right, address, 1000).await, Err(HttpsError::Untrusted { .. })));
    assert_eq!(ask(&right, good, 20).await, Err(HttpsError::Malformed("localhost".to_owned())));
    let plain = "http://localhost/".to_owned();
    assert_eq!(ask(&right, plain.clone(), 1000).await, Err(HttpsError::BadUrl(plain)));
}
