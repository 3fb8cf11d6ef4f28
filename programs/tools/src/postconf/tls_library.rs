//! `-T`: the cryptography that the programs were built with and run with (postconf(1)).
//!
//! Postfix names OpenSSL; we use rustls with AWS-LC, whose interface and file formats are OpenSSL's. Scripts read the first word and a version.

use super::{Done, Fatal, Options, warn};
use std::io::Write;

/// What `compile-version` and `run-version` print, in the form of `openssl version`.
const VERSION: &str = "OpenSSL 1.1.1 compatible, AWS-LC with rustls 0.23";

/// Key types of certificates that can be used and checked.
const PUBLIC_KEY_ALGORITHMS: &[&str] = &["rsa", "ecdsa", "ed25519"];

pub(super) fn print(o: &Options, out: &mut dyn Write) -> Done {
    match o.tls_mode.as_str() {
        "compile-version" | "run-version" => writeln!(out, "{VERSION}")?,
        "public-key-algorithms" => PUBLIC_KEY_ALGORITHMS.iter().try_for_each(|n| writeln!(out, "{n}"))?,
        mode => {
            warn(&format!("unknown 'postconf -T' mode: {mode}"));
            return Err(Fatal::new(""));
        }
    }
    Ok(())
}
