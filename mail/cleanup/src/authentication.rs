//! What cleanup knows of who sent a message: which methods to ask about mail from outside, and which keys sign ours (extensions;
//! docs/extensions.md). base/auth does the work, the steps `authentication_results`, `dkim_sign` and `arc_seal` call it.
//!
//! With none of the parameters set there is no [`Authentication`] at all. A key that cannot be read is an error in the log, and mail that
//! it should sign has to wait, as does mail of which no table says whether it is ours: unsigned mail would be refused elsewhere, for good.

use crate::CleanupConfig;
use base_auth::{Canon, Methods, dkim::SignOptions, keys::SigningKey, lookup::Dns};
use base_cache::{Cache, Caches};
use base_conf::{Config, Error};
use base_sys::opener::Opener;
use base_tables::{MatchKind, MatchList, Tables};
use std::{path::PathBuf, sync::Arc};

/// The largest key file.
const MAX_KEY: u64 = 64 << 10;

/// The parameters.
#[derive(Debug, Clone)]
pub struct AuthenticationConfig {
    /// `authentication_methods`
    pub methods: Methods,
    /// `authentication_results_hostname`
    pub our_name: String,
    /// `authentication_received_spf`
    pub received_spf: bool,
    /// `dmarc_actions`: reject, quarantine.
    pub dmarc_reject: bool,
    /// See above.
    pub dmarc_quarantine: bool,
    /// How our mail is signed.
    pub signing: SignOptions,
    exceptions: String,
    signing_clients: String,
    signing_keys: Vec<KeyName>,
    arc_key: Option<KeyName>,
    /// Where messages are counted for reports; empty: nowhere.
    reports: String,
}

/// `[.]domain:selector:/file`.
#[derive(Debug, Clone)]
struct KeyName {
    domain: String,
    /// It signs for subdomains too.
    below: bool,
    selector: String,
    file: PathBuf,
}

impl KeyName {
    fn parse(parameter: &str, text: &str) -> Result<Self, Error> {
        let mut parts = text.splitn(3, ':');
        let part = |p: Option<&str>| p.unwrap_or_default().to_owned();
        let (domain, selector, file) = (part(parts.next()), part(parts.next()), part(parts.next()));
        let below = domain.starts_with('.');
        let domain = domain.trim_start_matches('.').to_ascii_lowercase();
        if domain.is_empty() || selector.is_empty() || !file.starts_with('/') {
            return Err(Error::new(format!("{parameter}: bad entry \"{text}\": need domain:selector:/file")));
        }
        Ok(Self { domain, below, selector, file: file.into() })
    }
}

impl AuthenticationConfig {
    /// Reads the parameters.
    pub(crate) fn from_config(c: &Config) -> Result<Self, Error> {
        let key = |name: &str, text: &String| KeyName::parse(name, text);
        let signing_keys = c.list("dkim_signing_keys")?;
        let signing_keys =
            signing_keys.iter().map(|t| key("dkim_signing_keys", t)).collect::<Result<_, _>>()?;
        let arc_key = c.list("arc_signing_key")?.first().map(|t| key("arc_signing_key", t)).transpose()?;
        let methods = Methods::parse(&c.list("authentication_methods")?);
        let mut methods =
            methods.map_err(|w| Error::new(format!("authentication_methods: unknown method \"{w}\"")))?;
        methods.arc |= arc_key.is_some();
        let (mut dmarc_reject, mut dmarc_quarantine) = (false, false);
        for word in c.list("dmarc_actions")? {
            match word.as_str() {
                "reject" => dmarc_reject = true,
                "quarantine" => dmarc_quarantine = true,
                _ => return Err(Error::new(format!("dmarc_actions: unknown action \"{word}\""))),
            }
        }
        let reports =
            if c.str("dmarc_report_sender")?.is_empty() { String::new() } else { c.str("dmarc_report_map")? };
        methods.dmarc |= dmarc_reject || dmarc_quarantine || !reports.is_empty();
        Ok(Self {
            methods,
            our_name: c.str("authentication_results_hostname")?,
            received_spf: c.bool("authentication_received_spf")?,
            dmarc_reject,
            dmarc_quarantine,
            signing: sign_options(c)?,
            exceptions: c.str("authentication_exceptions")?,
            signing_clients: c.str("dkim_signing_clients")?,
            signing_keys,
            arc_key,
            reports,
        })
    }

    /// Nothing is asked for.
    fn is_off(&self) -> bool {
        self.methods.is_empty() && self.signing_keys.is_empty()
    }
}

fn sign_options(c: &Config) -> Result<SignOptions, Error> {
    let lower = |name: &str| -> Result<Vec<String>, Error> {
        Ok(c.list(name)?.iter().map(|h| h.to_ascii_lowercase()).collect())
    };
    let text = c.str("dkim_canonicalization")?;
    let (header, body) = text.split_once('/').unwrap_or((&text, "simple"));
    let canon = Canon::parse(header).zip(Canon::parse(body));
    Ok(SignOptions {
        headers: lower("dkim_signed_headers")?,
        sealed_headers: lower("dkim_sealed_headers")?,
        canon: canon.ok_or_else(|| Error::new(format!("bad dkim_canonicalization value: {text}")))?,
        lifetime: c.time("dkim_signature_lifetime")?.as_secs(),
    })
}

/// A key, or nothing when it cannot be used.
struct Key {
    name: KeyName,
    key: Option<SigningKey>,
}

/// The parameters with tables and keys opened.
pub(crate) struct Authentication {
    pub dns: Arc<dyn Dns>,
    exceptions: MatchList,
    signing_clients: MatchList,
    keys: Vec<Key>,
    arc_key: Option<Key>,
    pub reports: Option<Arc<Cache>>,
}

/// A key that should be there cannot be used, or nobody says whether one should.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unusable;

/// What authentication is made with.
pub struct Around<'a> {
    /// Who answers questions to DNS.
    pub dns: Arc<dyn Dns>,
    /// Who opens keys that only root may read.
    pub opener: &'a dyn Opener,
    /// Tables for lists of clients.
    pub tables: &'a Tables,
    /// Where messages are counted for reports.
    pub caches: &'a Caches,
    /// Hears of keys that cannot be used.
    pub complain: &'a dyn Fn(String),
}

impl Authentication {
    /// `None`: nothing is asked for.
    pub fn open(config: &CleanupConfig, around: &Around<'_>) -> Option<Self> {
        let c = &config.authentication;
        if c.is_off() {
            return None;
        }
        let list =
            |name: &str, text: &str| MatchList::open(around.tables, name, text, MatchKind::Host, false);
        let open = |name: &KeyName| Key { name: name.clone(), key: open_key(name, around) };
        Some(Self {
            dns: Arc::clone(&around.dns),
            exceptions: list("authentication_exceptions", &c.exceptions),
            signing_clients: list("dkim_signing_clients", &c.signing_clients),
            keys: c.signing_keys.iter().map(open).collect(),
            arc_key: c.arc_key.as_ref().map(open),
            reports: (!c.reports.is_empty()).then(|| around.caches.open(&c.reports)),
        })
    }

    /// Whether mail of this client is judged.
    pub async fn judges(&self, name: &str, ip: std::net::IpAddr) -> bool {
        !self.exceptions.matches_client(name, ip).await.unwrap_or(false)
    }

    /// Whether mail of this client is ours.
    pub async fn is_ours(&self, name: &str, ip: std::net::IpAddr) -> Result<bool, Unusable> {
        self.signing_clients.matches_client(name, ip).await.map_err(|_| Unusable)
    }

    /// Some key might sign.
    pub fn signs(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The keys that sign for a domain.
    pub fn keys_of(&self, domain: &str) -> Result<Vec<&SigningKey>, Unusable> {
        let is_for = |name: &KeyName| {
            domain == name.domain || name.below && domain.ends_with(&format!(".{}", name.domain))
        };
        let keys = self.keys.iter().filter(|k| is_for(&k.name));
        keys.map(|k| k.key.as_ref().ok_or(Unusable)).collect()
    }

    /// The key that seals.
    pub fn arc_key(&self) -> Option<&SigningKey> {
        self.arc_key.as_ref().and_then(|k| k.key.as_ref())
    }
}

fn open_key(name: &KeyName, around: &Around<'_>) -> Option<SigningKey> {
    let file = name.file.display();
    let pem = around.opener.read(&name.file, MAX_KEY).map_err(|e| format!("{file}: {e}"));
    let key = pem.and_then(|pem| {
        SigningKey::from_pem(&name.domain, &name.selector, &pem).map_err(|e| format!("{file}: {e}"))
    });
    key.map_err(|e| (around.complain)(format!("cannot sign for {}: {e}", name.domain))).ok()
}
