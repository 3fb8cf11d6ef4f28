//! Certificates from a real ACME server, Debian's pebble, with both challenges; renewal; and a failure that leaves all as it was.
//!
//! Needs pebble and pebble-challtestsrv; without them the test says so and passes. Loopback ports only; both are ended by their
//! process ids.

use base_acme::{Acme, Answers, Settings, chain_file};
use base_conf::Config;
use base_log::Log;
use base_net::Socket;
use base_tls::{Certificate, KeyFiles, Server, ServerOptions};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    fs,
    net::{TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// A process that ends with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(command: &mut Command) -> Option<Running> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().ok().map(Running)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address").port()
}

/// A certificate authority, and who tells it addresses.
struct Pebble {
    dir: tempfile::TempDir,
    port: u16,
    http: u16,
    tls: u16,
    _processes: [Running; 2],
}

impl Pebble {
    /// `None`: not installed.
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().expect("folder");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let names = [free_port(), free_port(), free_port(), free_port()];
        let [port, http, tls, dns] = names;
        write_own_certificate(dir.path());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "certificate": path("pebble.pem"), "privateKey": path("pebble.key"),
            "httpPort": http, "tlsPort": tls, "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        fs::write(dir.path().join("config"), config.to_string()).expect("written");
        let (none, dns) = ("", format!("127.0.0.1:{dns}"));
        let resolver = run(Command::new("pebble-challtestsrv").args([
            "-dns01",
            &dns,
            "-http01",
            none,
            "-https01",
            none,
            "-tlsalpn01",
            none,
            "-management",
            none,
            "-defaultIPv4",
            "127.0.0.1",
            "-defaultIPv6",
            none,
        ]))?;
        let mut command = Command::new("pebble");
        command.args(["-config", &path("config"), "-dnsserver", &dns]);
        // One request in five is told that its nonce is too old.
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "20");
        let pebble = run(&mut command)?;
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() || UdpSocket::bind(&dns).is_ok() {
            assert!(Instant::now() < end, "pebble does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { dir, port, http, tls, _processes: [resolver, pebble] })
    }

    fn config(&self, more: &str) -> Config {
        let (dir, port) = (self.dir.path().display(), self.port);
        Config::from_text(&format!(
            "data_directory = {dir}\ntls_acme_directory = https://localhost:{port}/dir\ntls_acme_CAfile = {dir}/ca.pem\n\
             tls_acme_domains = mail.example.com, Example.COM\ntls_acme_contact = postmaster@example.com\n{more}\n"
        ))
    }

    fn acme(&self, more: &str, log: &Log) -> (Acme, Answers) {
        let settings = Settings::from_config(&self.config(more)).expect("parameters").expect("domains");
        let answers = Answers::default();
        let (files, log) = (Arc::new(base_sys::opener::Plain), log.clone());
        let source = log.session_source("postfix/acme");
        (Acme { settings, answers: answers.clone(), files, log, source }, answers)
    }

    fn certificate(&self) -> Option<Certificate> {
        let pem = fs::read(chain_file(self.dir.path())).ok()?;
        Certificate::parse(&CertificateDer::pem_slice_iter(&pem).next()?.ok()?)
    }
}

/// For pebble's own port: an authority, and its certificate for localhost.
fn write_own_certificate(dir: &Path) {
    let made = || -> Result<_, rcgen::Error> {
        let (ca_key, key) = (rcgen::KeyPair::generate()?, rcgen::KeyPair::generate()?);
        let mut ca = rcgen::CertificateParams::new(Vec::new())?;
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key)?.pem();
        let mut own = rcgen::CertificateParams::new(["localhost".to_owned()])?;
        own.distinguished_name = rcgen::DistinguishedName::new();
        let own = own.signed_by(&key, &rcgen::Issuer::new(ca, ca_key))?;
        Ok([("ca.pem", ca_pem), ("pebble.pem", own.pem()), ("pebble.key", key.serialize_pem())])
    };
    for (name, text) in made().expect("certificates") {
        fs::write(dir.join(name), text).expect("written");
    }
}

/// A certificate that ends in an hour, where the last one is kept.
fn write_old_certificate(dir: &Path) {
    let made = || -> Result<_, rcgen::Error> {
        let key = rcgen::KeyPair::generate()?;
        let mut params =
            rcgen::CertificateParams::new(["mail.example.com".to_owned(), "example.com".to_owned()])?;
        let now = std::time::SystemTime::now();
        params.not_before = (now - Duration::from_secs(30 * 86_400)).into();
        params.not_after = (now + Duration::from_secs(3600)).into();
        Ok(format!("{}{}", key.serialize_pem(), params.self_signed(&key)?.pem()))
    };
    fs::write(chain_file(dir), made().expect("certificate")).expect("written");
}

/// Answers on a port as the worker does.
async fn serve(port: u16, answers: Answers) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("port");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answers = answers.clone();
            tokio::spawn(async move { answers.serve(Socket::Tcp(stream).boxed()).await });
        }
    });
}

/// Waits until the log has a line with this text.
async fn said(captured: &base_log::Captured, text: &str) -> String {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(line) = captured.lines().into_iter().find(|line| line.contains(text)) {
            return line;
        }
        assert!(Instant::now() < end, "{:?}", captured.lines());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_pebble() {
    let Some(pebble) = Pebble::start() else {
        assert!(std::env::var_os("HIKYAKU_PEERS_REQUIRED").is_none(), "needs pebble");
        return eprintln!("pebble is not installed, nothing tested");
    };
    let (log, captured) = Log::test();

    // HTTP-01.
    let (acme, answers) = pebble.acme("", &log);
    serve(pebble.http, answers).await;
    let task = tokio::spawn(acme.run());
    said(&captured, "certificate for mail.example.com, example.com obtained").await;
    task.abort();
    let first = pebble.certificate().expect("certificate");
    let mut names = first.dns_names.clone();
    names.sort();
    assert_eq!(names, ["example.com", "mail.example.com"]);
    let keys = vec![KeyFiles::Chain(chain_file(pebble.dir.path()))];
    let server =
        Server::new(ServerOptions { keys, ..Default::default() }, Arc::new(base_sys::opener::Plain), None);
    assert!(server.ready().0.is_ok());

    // TLS-ALPN-01 for another host, and one that is due; another account would be needed without the key that was kept.
    let key = fs::read(pebble.dir.path().join("acme/account.key")).expect("key");
    write_old_certificate(pebble.dir.path());
    let (acme, answers) = pebble.acme("tls_acme_challenge = tls-alpn-01", &log);
    serve(pebble.tls, answers).await;
    let (log, captured) = Log::test();
    let task = tokio::spawn(Acme { log, ..acme }.run());
    said(&captured, "obtained").await;
    task.abort();
    let second = pebble.certificate().expect("certificate");
    assert!(second.not_after > first.not_before + 86_400 && second.der != first.der);
    assert_eq!(fs::read(pebble.dir.path().join("acme/account.key")).expect("key"), key);

    // One that is good: nobody is asked. Another name that nobody answers for: all stays as it is.
    let (log, captured) = Log::test();
    let (acme, _) = pebble.acme("", &log);
    let quiet = tokio::time::timeout(Duration::from_millis(300), acme.run()).await;
    assert!(quiet.is_err() && captured.lines().is_empty(), "{:?}", captured.lines());
    let (acme, _) = pebble.acme("tls_acme_domains = other.example.com", &log);
    let task = tokio::spawn(acme.run());
    let line = said(&captured, "no certificate for other.example.com: ").await;
    task.abort();
    assert!(
        line.contains("urn:ietf:params:acme:error:unauthorized") && line.contains("next attempt in"),
        "{line}"
    );
    assert_eq!(pebble.certificate().expect("certificate").der, second.der);
}
