//! Handshakes between our two sides, in memory.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::{fs, path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LIMIT: Duration = Duration::from_secs(20);

struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).expect("file");
        self.path(name)
    }

    /// A self-signed certificate and its key.
    fn own(&self, name: &str) -> KeyFiles {
        let c = rcgen::generate_simple_self_signed([name.to_owned()]).expect("certificate");
        let cert = self.put(&format!("{name}.crt"), &c.cert.pem());
        let key = self.put(&format!("{name}.key"), &c.signing_key.serialize_pem());
        KeyFiles::Pair { kind: "RSA", cert, key }
    }

    /// An authority in `ca.crt`, and a certificate that it has signed.
    fn signed(&self, name: &str) -> KeyFiles {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Test CA");
        let ca_key = KeyPair::generate().expect("key");
        self.put("ca.crt", &params.self_signed(&ca_key).expect("authority").pem());
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().expect("key");
        let mut own = CertificateParams::new([name.to_owned()]).expect("parameters");
        own.distinguished_name.push(rcgen::DnType::CommonName, name);
        let cert = own.signed_by(&key, &issuer).expect("certificate");
        KeyFiles::Chain(self.put("chain.pem", &format!("{}{}", key.serialize_pem(), cert.pem())))
    }

    fn authorities(&self) -> Authorities {
        Authorities { file: Some(self.path("ca.crt")), ..Authorities::default() }
    }
}

type Ended = (Result<Session, Failure>, Result<Session, Failure>);

/// Both sides' view.
async fn shake(server: &Server, client: &Connector, sni: Option<&str>) -> Ended {
    let (a, b) = tokio::io::duplex(64 * 1024);
    let ready = server.ready().0.expect("server");
    let client_ready = client.ready().0.expect("client");
    let target = Target { sni: sni.map(str::to_owned), session: "mx[192.0.2.1]:25".into() };
    let serve = async {
        let (mut io, session) = server.accept(&ready, Box::new(a), LIMIT).await?;
        let _ = io.write_all(b"hello").await;
        let _ = io.flush().await;
        let _ = io.read(&mut [0; 16]).await;
        Ok(session)
    };
    let connect = async {
        let (mut io, session) = client.connect(&client_ready, Box::new(b), &target, LIMIT).await?;
        let mut text = [0; 5];
        let _ = io.read_exact(&mut text).await;
        assert_eq!(&text, b"hello");
        Ok(session)
    };
    tokio::join!(serve, connect)
}

fn plain() -> crate::Files {
    Arc::new(base_sys::opener::Plain)
}

fn server(options: ServerOptions) -> Server {
    Server::new(options, plain(), None)
}

fn connector(options: ConnectorOptions) -> Connector {
    Connector::new(options, plain())
}

#[tokio::test]
async fn the_usual_handshake() {
    let f = Files::new();
    let s = server(ServerOptions { keys: vec![f.own("mail.example.com")], ..ServerOptions::default() });
    let (server, client) = shake(&s, &connector(ConnectorOptions::default()), Some("mail.example.com")).await;
    let (server, client) = (server.expect("server"), client.expect("client"));
    assert_eq!(server.sni, "mail.example.com");
    let want = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519MLKEM768 \
                server-signature ECDSA (P-256) server-digest SHA256";
    assert_eq!((server.summary().as_str(), client.summary().as_str()), (want, want));
    let peer = client.peer.expect("certificate");
    assert_eq!(peer.trust, Trust::Untrusted("self-signed certificate".into()));
    assert_eq!(peer.certificate.dns_names, ["mail.example.com"]);
    assert!(server.peer.is_none());
}

#[tokio::test]
async fn sessions_that_go_on() {
    let f = Files::new();
    let s = server(ServerOptions { keys: vec![f.signed("a.example")], ..ServerOptions::default() });
    let options = |resume, protocols: &str| ConnectorOptions {
        authorities: f.authorities(),
        handshakes: Handshakes { protocols: protocols.into(), ..Handshakes::default() },
        resume,
        ..ConnectorOptions::default()
    };
    let hour = Some(Duration::from_secs(3600));
    for (resume, protocols, want) in
        [(hour, "", true), (hour, "TLSv1.2", true), (None, "", false), (Some(Duration::ZERO), "", false)]
    {
        let c = connector(options(resume, protocols));
        let first = shake(&s, &c, Some("a.example")).await.1.expect("client");
        let again = shake(&s, &c, Some("a.example")).await.1.expect("client");
        let other = shake(&s, &c, Some("b.example")).await.1.expect("client");
        assert_eq!(
            (first.resumed, again.resumed, other.resumed),
            (false, want, false),
            "{resume:?} {protocols}"
        );
        // The server's certificate is judged all the same.
        assert_eq!(again.peer.as_ref().expect("certificate").trust, Trust::Trusted);
        // Nobody signs anew then.
        let digest = |s: &Session| s.summary().contains("server-signature ECDSA (P-256) server-digest");
        let tells = protocols.is_empty();
        assert_eq!((digest(&first), digest(&again)), (tells, tells && !want), "{resume:?} {protocols}");
        assert!(!tells || again.summary().contains("server-signature ECDSA (P-256)"), "{}", again.summary());
    }
}

#[tokio::test]
async fn both_sides_show_certificates() {
    let f = Files::new();
    let keys = vec![f.signed("a.example")];
    let s = server(ServerOptions {
        keys: keys.clone(),
        authorities: f.authorities(),
        ask: true,
        ..ServerOptions::default()
    });
    let options = ConnectorOptions { keys, authorities: f.authorities(), ..ConnectorOptions::default() };
    let (server, client) = shake(&s, &connector(options), None).await;
    let (server, client) = (server.expect("server"), client.expect("client"));
    let peer = server.peer.as_ref().expect("client's certificate");
    assert_eq!(peer.trust, Trust::Trusted);
    assert_eq!(
        (peer.certificate.subject_cn.as_str(), peer.certificate.issuer_cn.as_str()),
        ("a.example", "Test CA")
    );
    assert_eq!(client.peer.expect("server's certificate").trust, Trust::Trusted);
    assert!(server.summary().ends_with(" client-signature ECDSA (P-256) client-digest SHA256"));
}

/// Two authorities below the one in `ca.crt`: two certificates between the peer's own and that.
#[tokio::test]
async fn chains_that_are_too_long() {
    let f = Files::new();
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        (params, KeyPair::generate().expect("key"))
    };
    let [(root, root_key), (below, below_key), (lowest, lowest_key)] =
        ["Root", "Below", "Lowest"].map(authority);
    f.put("ca.crt", &root.self_signed(&root_key).expect("authority").pem());
    let below_cert = below.signed_by(&below_key, &Issuer::new(root, root_key)).expect("authority").pem();
    let lowest_cert = lowest.signed_by(&lowest_key, &Issuer::new(below, below_key)).expect("authority").pem();
    let key = KeyPair::generate().expect("key");
    let own = CertificateParams::new(["a.example".to_owned()]).expect("parameters");
    let own = own.signed_by(&key, &Issuer::new(lowest, lowest_key)).expect("certificate").pem();
    let chain = f.put("chain.pem", &format!("{}{own}{lowest_cert}{below_cert}", key.serialize_pem()));
    let s = server(ServerOptions { keys: vec![KeyFiles::Chain(chain)], ..ServerOptions::default() });
    let too_long = Trust::Untrusted("certificate chain longer than limit(1)".to_owned());
    for (depth, want) in [(None, &Trust::Trusted), (Some(1), &Trust::Trusted), (Some(0), &too_long)] {
        let options = ConnectorOptions {
            authorities: Authorities { depth, ..f.authorities() },
            ..ConnectorOptions::default()
        };
        let client = shake(&s, &connector(options), None).await.1.expect("client");
        assert_eq!(&client.peer.expect("certificate").trust, want, "{depth:?}");
    }
}

#[tokio::test]
async fn a_listed_certificate_is_trusted() {
    let f = Files::new();
    let own = f.own("b.example");
    fs::copy(f.path("b.example.crt"), f.path("ca.crt")).expect("copy");
    let s = server(ServerOptions { keys: vec![own], ..ServerOptions::default() });
    let options = ConnectorOptions { authorities: f.authorities(), ..ConnectorOptions::default() };
    let client = shake(&s, &connector(options), None).await.1.expect("client");
    assert_eq!(client.peer.expect("certificate").trust, Trust::Trusted);
}

#[tokio::test]
async fn protocols_that_do_not_meet() {
    let f = Files::new();
    let only = |v: &str| Handshakes { protocols: v.into(), ..Handshakes::default() };
    let s = server(ServerOptions {
        keys: vec![f.own("a.example")],
        handshakes: only(">=TLSv1.3"),
        ..ServerOptions::default()
    });
    let c = connector(ConnectorOptions { handshakes: only("<=TLSv1.2"), ..ConnectorOptions::default() });
    let Err(Failure::Library(text)) = shake(&s, &c, None).await.0 else { panic!("a handshake") };
    assert!(
        text.starts_with("TLS library problem: error:0A000102:SSL routines::unsupported protocol:"),
        "{text}"
    );
}

/// Ciphers that need another kind of key than the server has.
#[tokio::test]
async fn ciphers_that_do_not_meet() {
    let f = Files::new();
    let s = server(ServerOptions { keys: vec![f.own("a.example")], ..ServerOptions::default() });
    let handshakes =
        Handshakes { protocols: "<=TLSv1.2".into(), exclude: "ECDSA".into(), ..Handshakes::default() };
    let c = connector(ConnectorOptions { handshakes, ..ConnectorOptions::default() });
    let (served, connected) = shake(&s, &c, None).await;
    let text = |end: Result<Session, Failure>| match end {
        Err(Failure::Library(text)) => text,
        other => panic!("{other:?}"),
    };
    let (served, connected) = (text(served), text(connected));
    assert!(served.contains("no shared cipher"), "{served}");
    assert!(connected.contains("sslv3 alert handshake failure"), "{connected}");
}

#[tokio::test]
async fn a_client_that_speaks_something_else() {
    let f = Files::new();
    let s = server(ServerOptions { keys: vec![f.own("a.example")], ..ServerOptions::default() });
    let ready = s.ready().0.expect("server");
    for (bytes, want) in
        [(&b"EHLO c\r\n"[..], "wrong version number"), (b"\x16\x03\x01\x00\x05hello", "unexpected message")]
    {
        let (a, mut b) = tokio::io::duplex(1024);
        b.write_all(bytes).await.expect("bytes");
        b.shutdown().await.expect("end");
        let failure = s.accept(&ready, Box::new(a), LIMIT).await.map(|_| ()).expect_err("no handshake");
        let Failure::Library(text) = failure else { panic!("{failure:?}") };
        assert!(text.contains(want), "{text}");
    }
    let (a, b) = tokio::io::duplex(1024);
    drop(b);
    assert_eq!(s.accept(&ready, Box::new(a), LIMIT).await.map(|_| ()), Err(Failure::LostConnection));
}

/// One byte of a record that never ends each second, as long as somebody listens.
async fn drip(mut io: tokio::io::DuplexStream) {
    for byte in b"\x16\x03\x01\x40\x00\x02\x00\x3f\xfc".iter().chain(std::iter::repeat(&0)) {
        if io.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The limit is for the handshake as a whole: a peer that sends a little now and then holds nobody.
#[tokio::test(start_paused = true)]
async fn peers_that_drip_or_hang() {
    let f = Files::new();
    let s = server(ServerOptions { keys: vec![f.own("a.example")], ..ServerOptions::default() });
    let c = connector(ConnectorOptions::default());
    let (server_ready, client_ready) = (s.ready().0.expect("server"), c.ready().0.expect("client"));
    for drips in [true, false] {
        let pipe = || {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            let peer = async move {
                match drips {
                    true => drip(theirs).await,
                    false => std::future::pending::<()>().await,
                }
            };
            (ours, tokio::spawn(peer))
        };
        let began = tokio::time::Instant::now();
        let (ours, peer) = pipe();
        assert_eq!(s.accept(&server_ready, Box::new(ours), LIMIT).await.map(drop), Err(Failure::TimedOut));
        peer.abort();
        let (ours, peer) = pipe();
        let end = c.connect(&client_ready, Box::new(ours), &Target::default(), LIMIT).await.map(drop);
        assert_eq!(end, Err(Failure::TimedOut));
        peer.abort();
        assert!(began.elapsed() < 2 * LIMIT + Duration::from_secs(2), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn names_of_their_own() {
    let f = Files::new();
    let usual = f.own("usual.example");
    let KeyFiles::Chain(other) = f.signed("other.example") else { panic!("not a chain") };
    let pem = fs::read(other).expect("chain");
    let maps: SniMaps = Arc::new(move |name: &str| {
        let found = match name {
            "other.example" => Sni::Chain(pem.clone()),
            "bad.example" => Sni::Failed,
            _ => Sni::Usual,
        };
        Box::pin(std::future::ready(found))
    });
    let s = Server::new(ServerOptions { keys: vec![usual], ..ServerOptions::default() }, plain(), Some(maps));
    let c = connector(ConnectorOptions::default());
    for (sni, want) in [("other.example", "other.example"), ("x.example", "usual.example")] {
        let session = shake(&s, &c, Some(sni)).await.1.expect("client");
        assert_eq!(session.peer.expect("certificate").certificate.dns_names, [want]);
    }
    let Err(Failure::Library(text)) = shake(&s, &c, Some("bad.example")).await.0 else {
        panic!("a handshake")
    };
    assert!(text.contains("callback failed"), "{text}");
}

#[test]
fn bad_files() {
    let f = Files::new();
    let problem = |keys| {
        server(ServerOptions { keys, ..ServerOptions::default() })
            .ready()
            .0
            .map(|_| ())
            .expect_err("problem")
            .lines
    };
    assert_eq!(problem(vec![]), ["No server certs available. TLS won't be enabled"]);
    let missing = KeyFiles::Pair { kind: "RSA", cert: f.path("x"), key: f.path("x") };
    assert_eq!(
        problem(vec![missing]),
        [format!("error opening chain file: {}: No such file or directory", f.path("x").display())]
    );
    let (KeyFiles::Pair { cert, .. }, KeyFiles::Pair { key, .. }) = (f.own("a.example"), f.own("b.example"))
    else {
        panic!("not pairs")
    };
    let lines = problem(vec![KeyFiles::Pair { kind: "RSA", cert: cert.clone(), key: key.clone() }]);
    assert!(lines[0].contains("key values mismatch"));
    assert_eq!(
        lines[1],
        format!("cannot get RSA private key from file \"{}\": disabling TLS support", key.display())
    );
    let junk = f.put("junk", "junk\n");
    let lines = problem(vec![KeyFiles::Pair { kind: "RSA", cert, key: junk }]);
    assert!(lines[0].starts_with("TLS library problem: error:1E08010C:DECODER routines::unsupported:"));
}

#[test]
fn renewed_certificates() {
    let f = Files::new();
    let s = server(ServerOptions { keys: vec![f.own("a.example")], ..ServerOptions::default() });
    let first = s.ready().0.expect("ready");
    std::thread::sleep(Duration::from_millis(1100));
    assert!(Arc::ptr_eq(&first, &s.ready().0.expect("ready")), "nothing has changed");
    f.own("a.example");
    std::thread::sleep(Duration::from_millis(1100));
    let second = s.ready().0.expect("ready");
    assert!(!Arc::ptr_eq(&first, &second), "renewed");
    f.put("a.example.key", "junk");
    std::thread::sleep(Duration::from_millis(1100));
    let (third, complaints) = s.ready();
    assert!(Arc::ptr_eq(&second, &third.expect("ready")), "the old one stays");
    assert!(complaints.iter().any(|l| l.contains("cannot get RSA private key")), "{complaints:?}");
    assert!(s.ready().1.is_empty(), "said once");
}

/// A handshake of a library with `server`, as far as the library is concerned.
async fn library(server: &Server, config: rustls::ClientConfig, name: &'static str) -> Result<(), String> {
    let (a, b) = tokio::io::duplex(64 * 1024);
    let ready = server.ready().0.expect("server");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = rustls::pki_types::ServerName::try_from(name).expect("name");
    let serve = async { server.accept(&ready, Box::new(a), LIMIT).await.map(drop) };
    let connect = async { connector.connect(name, b).await.map(drop).map_err(|e| e.to_string()) };
    tokio::join!(serve, connect).1
}

#[tokio::test]
async fn what_libraries_demand() {
    let f = Files::new();
    let keys = vec![f.signed("mail.example.com")];
    let server = server(ServerOptions { keys: keys.clone(), ..ServerOptions::default() });
    let (ca, nobody) =
        (f.authorities(), Authorities { path: Some(f.path("none")), ..Authorities::default() });
    for (authorities, check, name, works) in [
        (&nobody, Check::Nothing, "other.example.com", true),
        (&ca, Check::Authority, "other.example.com", true),
        (&ca, Check::Name, "mail.example.com", true),
        (&ca, Check::Name, "other.example.com", false),
        (&nobody, Check::Authority, "mail.example.com", false),
        (&nobody, Check::Name, "mail.example.com", false),
    ] {
        let config = library_config(&keys, authorities, check, &plain()).expect("configuration");
        let end = library(&server, config, name).await;
        assert_eq!(end.is_ok(), works, "{check:?} {name} {end:?}");
    }
    let missing = Authorities { file: Some(f.path("none")), ..Authorities::default() };
    let e = library_config(&[], &missing, Check::Name, &plain()).map(drop).expect_err("no file");
    assert!(e.contains("none") && !e.contains("disabling TLS"), "{e}");
    assert!(library_config(&[], &missing, Check::Nothing, &plain()).is_ok(), "not needed, not read");
}
