//! Protocols, cipher grades and curves: main.cf's words (postconf(5) `*_tls_protocols`, `*_tls_ciphers`,
//! `*_tls_exclude_ciphers`, `tls_eecdh_auto_curves`) as what rustls has. What it does not have is left out; a selection that
//! leaves nothing is a [`Problem`].

use crate::{Problem, names};
use rustls::{
    SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    version::{TLS12, TLS13},
};
use std::sync::Arc;

/// What may be agreed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handshakes {
    /// `>=TLSv1.2`, `!SSLv2, !SSLv3` …; empty: all.
    pub protocols: String,
    /// Ciphers that may not be used, in OpenSSL's names and kinds. Those of TLS 1.3 are not chosen by name there, and are
    /// always allowed.
    pub exclude: String,
    /// Curves in order of preference; empty: ours.
    pub curves: String,
}

/// The numbers of TLS 1.0 to 1.3 as main.cf writes them.
const VERSIONS: [(&str, u8); 7] = [
    ("sslv2", 2),
    ("sslv3", 3),
    ("tlsv1", 10),
    ("tlsv1.0", 10),
    ("tlsv1.1", 11),
    ("tlsv1.2", 12),
    ("tlsv1.3", 13),
];

fn version(word: &str) -> Option<u8> {
    let word = word.to_ascii_lowercase();
    VERSIONS.iter().find(|(n, _)| *n == word).map(|(_, v)| *v)
}

/// The protocols (12, 13) that a list leaves; `Err`: the word that is none.
pub fn protocols(text: &str) -> Result<Vec<u8>, String> {
    let (mut low, mut high, mut without, mut only) = (0, u8::MAX, Vec::new(), Vec::new());
    for word in text.split([',', ' ', '\t', '\n', ':']).filter(|w| !w.is_empty()) {
        let bad = || word.to_owned();
        if let Some(v) = word.strip_prefix(">=") {
            low = version(v).ok_or_else(bad)?;
        } else if let Some(v) = word.strip_prefix("<=") {
            high = version(v).ok_or_else(bad)?;
        } else if let Some(v) = word.strip_prefix('!') {
            without.push(version(v).ok_or_else(bad)?);
        } else {
            only.push(version(word).ok_or_else(bad)?);
        }
    }
    let allowed =
        |v: &u8| (low..=high).contains(v) && !without.contains(v) && (only.is_empty() || only.contains(v));
    Ok([12, 13].into_iter().filter(allowed).collect())
}

impl Handshakes {
    pub(crate) fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, Problem> {
        let bad = |text| Problem::new(format!("{text}: disabling TLS support"));
        let list = protocols(&self.protocols)
            .map_err(|_| bad(format!("Invalid TLS protocol list \"{}\"", self.protocols)))?;
        if list.is_empty() {
            return Err(bad(format!("No supported TLS protocol in \"{}\"", self.protocols)));
        }
        Ok(list.into_iter().map(|v| if v == 12 { &TLS12 } else { &TLS13 }).collect())
    }

    pub(crate) fn provider(&self) -> Arc<CryptoProvider> {
        let mut p = aws_lc_rs::default_provider();
        let excluded: Vec<String> =
            self.exclude.split([',', ' ', '\t', '\n', ':']).map(str::to_ascii_uppercase).collect();
        p.cipher_suites.retain(|s| !excluded.iter().any(|word| is_of_kind(s, word)));
        let wanted: Vec<_> = self
            .curves
            .split([',', ' ', '\t', '\n', ':'])
            .filter_map(names::group_named)
            .filter_map(|g| p.kx_groups.iter().copied().find(|k| k.name() == g))
            .collect();
        if !wanted.is_empty() {
            p.kx_groups = wanted;
        }
        Arc::new(p)
    }
}

/// Whether a cipher is what the word means: its name, or kinds joined by `+`.
fn is_of_kind(suite: &SupportedCipherSuite, word: &str) -> bool {
    if suite.tls13().is_some() || word.is_empty() {
        return false;
    }
    let (name, _) = names::cipher(suite.suite());
    if name == word {
        return true;
    }
    let parts: Vec<&str> = name.split('-').collect();
    word.split('+').all(|kind| match kind {
        "AES" => name.contains("AES"),
        "AESGCM" => name.contains("GCM"),
        "CHACHA20" => name.contains("CHACHA20"),
        "KEECDH" | "EECDH" | "ECDHE" => name.starts_with("ECDHE"),
        "ARSA" => parts.contains(&"RSA"),
        "AECDSA" => parts.contains(&"ECDSA"),
        kind => parts.contains(&kind),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_lists() {
        for (text, want) in [
            ("", Ok(vec![12, 13])),
            (">=TLSv1", Ok(vec![12, 13])),
            (">=TLSv1.3", Ok(vec![13])),
            (">=TLSv1.2, <=TLSv1.2", Ok(vec![12])),
            ("!SSLv2, !SSLv3, !TLSv1.3", Ok(vec![12])),
            ("TLSv1.2:TLSv1", Ok(vec![12])),
            ("TLSv1", Ok(vec![])),
            ("!foo", Err("!foo".to_owned())),
        ] {
            assert_eq!(protocols(text), want, "{text}");
        }
    }

    #[test]
    fn excluded_ciphers() {
        let left = |exclude: &str| {
            let h = Handshakes { exclude: exclude.into(), ..Handshakes::default() };
            h.provider().cipher_suites.len()
        };
        assert_eq!(left("aNULL, MD5, RC4"), 9);
        assert_eq!((left("AES128"), left("ECDHE-RSA-AES128-GCM-SHA256")), (7, 8));
        assert_eq!((left("ECDHE"), left("aRSA+AESGCM"), left("CHACHA20")), (3, 7, 7));
    }

    #[test]
    fn curves() {
        let h = Handshakes { curves: "prime256v1 X448 X25519".into(), ..Handshakes::default() };
        let names: Vec<String> = h.provider().kx_groups.iter().map(|g| names::group(g.name())).collect();
        assert_eq!(names, ["ECDHE (P-256)", "X25519"]);
        assert_eq!(
            Handshakes::default().provider().kx_groups.first().map(|g| names::group(g.name())),
            Some("X25519MLKEM768".into())
        );
    }
}
