//! `smtpd_tls_*`: what a service offers and demands (TLS_README).
//!
//! Certificates that are missing or wrong never stop a service: STARTTLS is answered with 454, wrapper mode hangs up, and the
//! log says why. What rustls cannot do is accepted with one warning each when the service starts.

use crate::server::StartError;
use base_conf::{Config, Error};
use base_tables::{Maps, Tables};
use base_tls::{Authorities, Digest, Files, Handshakes, KeyFiles, Server, ServerOptions, Sni, SniMaps};
use std::{path::PathBuf, sync::Arc};

/// What a session may or must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Level {
    /// No TLS.
    #[default]
    None,
    /// Who wants.
    May,
    /// Nobody without.
    Encrypt,
}

/// Parameters that have no meaning with rustls, and why.
const MEANINGLESS: &[(&str, &str)] = &[
    ("smtpd_tls_cipherlist", "ciphers are chosen by smtpd_tls_exclude_ciphers only"),
    ("smtpd_tls_dcert_file", "DSA certificates are not supported, the file is not read"),
    ("smtpd_tls_dh1024_param_file", "key exchange is by elliptic curves only, the file is not read"),
    ("smtpd_tls_dh512_param_file", "key exchange is by elliptic curves only, the file is not read"),
    ("smtpd_tls_enable_rpk", "raw public keys are not supported"),
    ("tls_config_file", "there is no OpenSSL to configure"),
    ("tls_config_name", "there is no OpenSSL to configure"),
    ("tls_disable_workarounds", "there are no OpenSSL workarounds"),
    ("tls_export_cipherlist", "there are no export ciphers"),
    ("tls_high_cipherlist", "OpenSSL cipher lists are not read"),
    ("tls_low_cipherlist", "there are no weak ciphers"),
    ("tls_medium_cipherlist", "OpenSSL cipher lists are not read"),
    ("tls_null_cipherlist", "there are no ciphers without encryption"),
    ("tls_ssl_options", "there are no OpenSSL options"),
];

/// The parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsConfig {
    pub(crate) level: Level,
    pub(crate) wrapper: bool,
    pub(crate) log_level: u32,
    pub(crate) received_header: bool,
    pub(crate) require_certificate: bool,
    pub(crate) digest: Digest,
    options: ServerOptions,
    sni_maps: String,
    warnings: Vec<String>,
    fault: Option<String>,
}

impl TlsConfig {
    pub(crate) fn from_config(cfg: &Config) -> Result<Self, Error> {
        let mut warnings = Vec::new();
        let mut fault = None;
        let wrapper = cfg.bool("smtpd_tls_wrappermode")?;
        let level = level(cfg, SMTPD, wrapper, &mut warnings, &mut fault)?;
        let digest = Digest::named(&cfg.str("smtpd_tls_fingerprint_digest")?).unwrap_or_else(|e| {
            fault = Some(e.to_string());
            Digest::Sha256
        });
        let require = cfg.bool("smtpd_tls_req_ccert")?;
        if require && level == Level::May {
            warnings.push("Can't require client certs unless TLS is required".to_owned());
        }
        if level != Level::None {
            let set = MEANINGLESS.iter().filter(|(name, _)| means_something(cfg, name));
            warnings.extend(set.map(|(name, why)| format!("{name} has no effect: {why}")));
        }
        Ok(Self {
            level,
            wrapper,
            log_level: log_level(&cfg.str("smtpd_tls_loglevel")?),
            received_header: cfg.bool("smtpd_tls_received_header")?,
            require_certificate: require && level == Level::Encrypt,
            digest,
            options: options(cfg, level, require)?,
            sni_maps: cfg.str("tls_server_sni_maps")?,
            warnings,
            fault,
        })
    }
}

fn means_something(cfg: &Config, name: &str) -> bool {
    cfg.is_set(name) && !matches!(cfg.str(name).unwrap_or_default().as_str(), "" | "no" | "auto" | "none")
}

/// Who says what is offered: the level, and the old switches for `encrypt` and `may`.
const SMTPD: [&str; 3] = ["smtpd_tls_security_level", "smtpd_enforce_tls", "smtpd_use_tls"];

/// By parameters like [`SMTPD`].
pub(crate) fn level(
    cfg: &Config,
    [parameter, enforce, offer]: [&str; 3],
    wrapper: bool,
    warnings: &mut Vec<String>,
    fault: &mut Option<String>,
) -> Result<Level, Error> {
    let text = cfg.str(parameter)?;
    let level = match text.as_str() {
        "" if cfg.bool(enforce)? => Level::Encrypt,
        "" if cfg.bool(offer)? => Level::May,
        "" | "none" => Level::None,
        "may" => Level::May,
        "encrypt" => Level::Encrypt,
        "verify" | "secure" | "fingerprint" | "dane" | "dane-only" => {
            warnings.push(format!("{parameter}: unsupported TLS level \"{text}\", using \"encrypt\""));
            Level::Encrypt
        }
        _ => {
            *fault = Some(format!("Invalid TLS level \"{text}\""));
            Level::None
        }
    };
    Ok(if wrapper { Level::Encrypt } else { level })
}

/// A number, or nothing that counts.
fn log_level(text: &str) -> u32 {
    text.trim().parse().unwrap_or(0)
}

fn options(cfg: &Config, level: Level, require: bool) -> Result<ServerOptions, Error> {
    let path = |name: &str| -> Result<Option<PathBuf>, Error> {
        Ok(Some(cfg.str(name)?).filter(|t| !t.is_empty()).map(PathBuf::from))
    };
    let (protocols, exclude) = match level {
        Level::Encrypt => (
            cfg.str("smtpd_tls_mandatory_protocols")?,
            format!(
                "{} {}",
                cfg.str("smtpd_tls_exclude_ciphers")?,
                cfg.str("smtpd_tls_mandatory_exclude_ciphers")?
            ),
        ),
        _ => (cfg.str("smtpd_tls_protocols")?, cfg.str("smtpd_tls_exclude_ciphers")?),
    };
    let curves =
        if cfg.is_set("tls_eecdh_auto_curves") { cfg.str("tls_eecdh_auto_curves")? } else { String::new() };
    Ok(ServerOptions {
        keys: keys(cfg)?,
        authorities: Authorities {
            file: path("smtpd_tls_CAfile")?,
            path: path("smtpd_tls_CApath")?,
            system: cfg.bool("tls_append_default_CA")?,
            depth: u32::try_from(cfg.int("smtpd_tls_ccert_verifydepth")?).ok(),
        },
        ask: require || cfg.bool("smtpd_tls_ask_ccert")?,
        handshakes: Handshakes { protocols, exclude, curves },
        own_order: cfg.bool("tls_preempt_cipherlist")?,
    })
}

fn keys(cfg: &Config) -> Result<Vec<KeyFiles>, Error> {
    let mut keys = Vec::new();
    if !cfg.list("tls_acme_domains")?.is_empty() {
        let folder = PathBuf::from(cfg.str("data_directory")?);
        keys.push(KeyFiles::Later(base_acme::chain_file(&folder)));
    }
    let chains = cfg.list("smtpd_tls_chain_files")?;
    if !chains.is_empty() {
        keys.extend(chains.into_iter().map(|f| KeyFiles::Chain(f.into())));
        return Ok(keys);
    }
    for (kind, cert, key) in [
        ("RSA", "smtpd_tls_cert_file", "smtpd_tls_key_file"),
        ("ECDSA", "smtpd_tls_eccert_file", "smtpd_tls_eckey_file"),
    ] {
        let (cert, key) = (cfg.str(cert)?, cfg.str(key)?);
        if !cert.is_empty() && cert != "none" {
            keys.push(KeyFiles::Pair { kind, cert: cert.into(), key: key.into() });
        }
    }
    Ok(keys)
}

/// What the sessions of a service share.
pub(crate) struct Tls {
    pub(crate) server: Server,
    /// Clients are asked for certificates.
    pub(crate) asks: bool,
}

impl Tls {
    /// `None`: this service has no TLS. `warn` gets what does not stop it.
    pub(crate) fn open(
        c: &TlsConfig,
        tables: &Tables,
        files: Files,
        warn: &dyn Fn(&str),
    ) -> Result<Option<Self>, StartError> {
        if let Some(text) = &c.fault {
            return Err(StartError::Parameter(text.clone()));
        }
        if c.level == Level::None {
            return Ok(None);
        }
        c.warnings.iter().for_each(|w| warn(w));
        let sni = sni_maps(&c.sni_maps, tables, &files);
        Ok(Some(Self { server: Server::new(c.options.clone(), files, sni), asks: c.options.ask }))
    }
}

/// `tls_server_sni_maps`: a value is PEM text in base64 (`postmap -F`), or the files themselves.
fn sni_maps(text: &str, tables: &Tables, files: &Files) -> Option<SniMaps> {
    if text.is_empty() {
        return None;
    }
    let maps = Arc::new(Maps::open(tables, "tls_server_sni_maps", text));
    let files = Arc::clone(files);
    Some(Arc::new(move |name: &str| {
        let (maps, files, name) = (Arc::clone(&maps), Arc::clone(&files), name.to_ascii_lowercase());
        Box::pin(async move {
            for key in sni_keys(&name) {
                match maps.find(&key).await {
                    Ok(None) => {}
                    Ok(Some(value)) => return sni_chain(&value, &files),
                    Err(_) => return Sni::Failed,
                }
            }
            Sni::Usual
        })
    }))
}

/// The name, then `.parent.domain` forms.
fn sni_keys(name: &str) -> Vec<String> {
    let parents = name.match_indices('.').take(32).filter_map(|(i, _)| name.get(i..)).map(str::to_owned);
    std::iter::once(name.to_owned()).chain(parents).collect()
}

fn sni_chain(value: &str, files: &Files) -> Sni {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let compact: String = value.split_ascii_whitespace().collect();
    if let Ok(pem) = STANDARD.decode(&compact)
        && pem.starts_with(b"-----BEGIN")
    {
        return Sni::Chain(pem);
    }
    let mut pem = Vec::new();
    for path in value.split([',', ' ', '\t', '\n']).filter(|p| !p.is_empty()) {
        match files.read(path.as_ref(), 1 << 20) {
            Ok(text) => pem.extend(text),
            Err(_) => return Sni::Failed,
        }
    }
    Sni::Chain(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(main_cf: &str) -> TlsConfig {
        let cfg = Config::from_text(main_cf).service("smtp", &[]);
        TlsConfig::from_config(&cfg).expect("parameters")
    }

    #[test]
    fn levels() {
        for (text, want) in [
            ("", Level::None),
            ("smtpd_use_tls = yes", Level::May),
            ("smtpd_enforce_tls = yes", Level::Encrypt),
            ("smtpd_tls_security_level = may\nsmtpd_enforce_tls = yes", Level::May),
            ("smtpd_tls_security_level = verify", Level::Encrypt),
            ("smtpd_tls_security_level = none\nsmtpd_use_tls = yes", Level::None),
            ("smtpd_tls_wrappermode = yes", Level::Encrypt),
        ] {
            assert_eq!(config(text).level, want, "{text}");
        }
        assert_eq!(
            config("smtpd_tls_security_level = foo").fault.as_deref(),
            Some("Invalid TLS level \"foo\"")
        );
    }

    #[test]
    fn what_has_no_meaning_is_said_once() {
        let main_cf = "smtpd_use_tls = yes\nsmtpd_tls_dh1024_param_file = /x\nsmtpd_tls_dh512_param_file = auto\nsmtpd_tls_dcert_file = /y";
        assert_eq!(
            config(main_cf).warnings,
            [
                "smtpd_tls_dcert_file has no effect: DSA certificates are not supported, the file is not read",
                "smtpd_tls_dh1024_param_file has no effect: key exchange is by elliptic curves only, the file is not read",
            ]
        );
        assert_eq!(
            config("smtpd_tls_security_level = may\nsmtpd_tls_req_ccert = yes").warnings,
            ["Can't require client certs unless TLS is required"]
        );
    }

    #[test]
    fn chain_files_come_first() {
        let c = config("smtpd_tls_cert_file = /c\nsmtpd_tls_eccert_file = /e");
        assert_eq!(c.options.keys.len(), 2);
        assert_eq!(
            config("smtpd_tls_chain_files = /a, /b\nsmtpd_tls_cert_file = /c").options.keys,
            [KeyFiles::Chain("/a".into()), KeyFiles::Chain("/b".into())]
        );
        assert!(config("smtpd_tls_cert_file = none").options.keys.is_empty());
        let acme = "data_directory = /d\ntls_acme_domains = a.example\nsmtpd_tls_chain_files = /a";
        let chain = KeyFiles::Later("/d/acme/chain.pem".into());
        assert_eq!(config(acme).options.keys, [chain, KeyFiles::Chain("/a".into())]);
    }

    #[test]
    fn sni_forms() {
        assert_eq!(sni_keys("a.b.c"), ["a.b.c", ".b.c", ".c"]);
    }
}
