//! `tls_acme_domains` in a whole server, with its sandbox: the certificate is obtained over the server's own port and used without a
//! reload. The scenario is e2e/ours/acme.txt. Needs root and pebble; see parity.rs.

mod common;

use std::{env, path::Path};

#[test]
fn a_certificate_comes_and_is_used() {
    if !common::ready() || !Path::new("/usr/bin/pebble").exists() {
        assert!(env::var_os("HIKYAKU_PEERS_REQUIRED").is_none(), "needs pebble");
        eprintln!("not run: needs root and pebble");
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ours/acme.txt");
    let outcome = common::run(&file, "acme", "ours").unwrap();
    let (cmd, log) = (common::lines(&outcome, "cmd"), common::lines(&outcome, "log"));
    let has = |text: &str| cmd.iter().any(|line| line.contains(text));
    for text in [
        "postfix 700 /var/lib/postfix/acme",
        "postfix 600 /var/lib/postfix/acme/account.key",
        "postfix 600 /var/lib/postfix/acme/chain.pem",
        "DNS:mail.example.com",
        "issuer=CN = Pebble Intermediate CA",
    ] {
        assert!(has(text), "no {text}: {cmd:#?} {log:#?}");
    }
    let obtained =
        log.iter().filter(|line| line.contains("/acme: certificate for mail.example.com obtained"));
    assert_eq!(obtained.count(), 1, "{log:#?}");
}
