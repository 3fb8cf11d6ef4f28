//! Certificates that do not belong to their key, have expired or soon will.

use super::Rule;
use crate::{Finding, Severity, Site, files, setting::Setting};
use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::{
    path::Path,
    time::{Duration, UNIX_EPOCH},
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The record.
pub const RULE: Rule = Rule {
    name: "certificate",
    finds: "certificates and keys that are missing, do not belong together, have expired or will within three weeks",
    severity: Severity::Warning,
    example: &[
        (
            "main.cf",
            "smtpd_tls_security_level = may
smtpd_tls_cert_file = /etc/postfix/mail.pem
smtpd_tls_key_file = /etc/postfix/mail.key
\
             smtp_tls_chain_files = /etc/postfix/client.pem
",
        ),
        ("mail.pem", "@a certificate"),
        ("mail.key mode=600", "@the key of another"),
        ("client.pem mode=600", "@an old key with its certificate"),
    ],
    run,
};

/// From when on an end is near; whoever renews by machine has done it by then.
const SOON: Duration = Duration::from_secs(21 * 86_400);
/// Longest file.
const MAX_FILE: u64 = 1 << 20;

/// (certificate, key) parameters without their prefix.
const PAIRS: &[(&str, &str)] = &[
    ("tls_cert_file", "tls_key_file"),
    ("tls_eccert_file", "tls_eckey_file"),
    ("tls_dcert_file", "tls_dkey_file"),
    ("tls_chain_files", "tls_chain_files"),
];

fn run(site: &Site) -> Vec<Finding> {
    let mut out = Vec::new();
    for s in site.settings() {
        let Some((prefix, rest)) = s.name.split_once("_tls_") else { continue };
        let Some((_, key)) = PAIRS.iter().find(|(cert, _)| *cert == format!("tls_{rest}")) else { continue };
        if s.expanded.trim().is_empty() || s.expanded.trim() == "none" {
            continue;
        }
        let files = base_conf::list::split(&s.expanded);
        let key = s.view.str(&format!("{prefix}_{key}")).unwrap_or_default();
        let keys = if key.is_empty() { files.clone() } else { base_conf::list::split(&key) };
        out.extend(check(site, &s, &files, &keys));
    }
    out
}

/// Certificates and keys may be spread over several files.
fn check(site: &Site, s: &Setting<'_>, files: &[&str], key_files: &[&str]) -> Vec<Finding> {
    let at = |what: String| {
        crate::site::place(&s.text.file, s.line, format!("{}: {what}", s.name)).severity(Severity::Error)
    };
    let (text, missing) = contents(files);
    if let Some(file) = missing {
        return vec![at(format!("{file} cannot be read"))];
    }
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(text.as_bytes()).filter_map(Result::ok).collect();
    let shown = files.join(", ");
    let Some(first) = chain.first() else {
        return vec![at(format!("{shown} holds no certificate in PEM form"))];
    };
    let dates = dates(site, first).into_iter();
    let mut out: Vec<Finding> =
        dates.map(|(what, severity)| at(format!("{shown} {what}")).severity(severity)).collect();
    let (key_text, missing) = contents(key_files);
    if let Some(file) = missing {
        out.push(at(format!("the key {file} cannot be read")));
        return out;
    }
    let shown_keys = key_files.join(", ");
    match PrivateKeyDer::from_pem_slice(key_text.as_bytes()) {
        Err(_) => out.push(at(format!("{shown_keys} holds no private key in PEM form"))),
        Ok(key) if !belong_together(chain, &key) => {
            out.push(at(format!("the certificate {shown} does not belong to the key {shown_keys}")));
        }
        Ok(_) => {}
    }
    out
}

/// All files in one; or the first that cannot be read.
fn contents<'a>(paths: &[&'a str]) -> (String, Option<&'a str>) {
    let mut all = String::new();
    for path in paths {
        match files::text(Path::new(path), MAX_FILE) {
            Some(text) => all.push_str(&(text + "\n")),
            None => return (all, Some(path)),
        }
    }
    (all, None)
}

/// Whether the certificate is for the key; `true` as well for kinds of keys that are not known here.
fn belong_together(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'static>) -> bool {
    let Ok(signing) = any_supported_type(key) else { return true };
    !matches!(
        CertifiedKey::new(chain, signing).keys_match(),
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch))
    )
}

/// What is wrong with the time of a certificate.
fn dates(site: &Site, der: &CertificateDer<'_>) -> Option<(String, Severity)> {
    let (_, cert) = X509Certificate::from_der(der.as_ref()).ok()?;
    let now = i64::try_from(site.around.now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).ok()?;
    let (from, to) = (cert.validity().not_before.timestamp(), cert.validity().not_after.timestamp());
    if now < from {
        return Some(("is not valid yet".to_owned(), Severity::Error));
    }
    let left = to.checked_sub(now)?;
    if left < 0 {
        return Some((format!("expired {} ago", days(left.unsigned_abs())), Severity::Error));
    }
    // One that lives for days only is renewed late.
    let quarter = Duration::from_secs(to.saturating_sub(from).unsigned_abs() / 4);
    let soon = Duration::from_secs(left.unsigned_abs()) < SOON.min(quarter);
    soon.then(|| (format!("expires in {}", days(left.unsigned_abs())), Severity::Warning))
}

fn days(seconds: u64) -> String {
    match seconds / 86_400 {
        1 => "1 day".to_owned(),
        n => format!("{n} days"),
    }
}
