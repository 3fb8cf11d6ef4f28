//! `smtp_tls_*`: how private the line must be for a destination (TLS_README "Client TLS security levels").
//!
//! [`Tls::policy`] looks a destination up in `smtp_tls_policy_maps` (or the older `smtp_tls_per_site`), else takes the
//! parameters. An entry that makes no sense defers the mail: [`BadPolicy`]. What a session must then prove is [`super::proof`].

use super::config::Dialect;
use crate::Deps;
use base_conf::{Config, Error};
use base_net::split_host_port;
use base_tables::Maps;
use base_tls::{
    AnchorFiles, Authorities, Connector, ConnectorOptions, Digest, Files, Handshakes, KeyFiles, Problem,
    TrustAnchors, protocols,
};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What the sender hears of an entry that makes no sense.
const CONFUSED: &str = "client TLS configuration problem";
/// The most different settings of handshakes that are kept.
const MAX_CONNECTORS: usize = 100;

/// What a destination demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) enum Level {
    #[default]
    None,
    May,
    Encrypt,
    /// The certificate is known by its digest.
    Fingerprint,
    /// As DNS says; where it says nothing, like `may`.
    Dane,
    DaneOnly,
    /// The name in the certificate is that of the host.
    Verify,
    /// The name is that of the destination.
    Secure,
}

impl Level {
    fn named(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "none" => Self::None,
            "may" => Self::May,
            "encrypt" => Self::Encrypt,
            "fingerprint" => Self::Fingerprint,
            "dane" => Self::Dane,
            "dane-only" => Self::DaneOnly,
            "verify" => Self::Verify,
            "secure" => Self::Secure,
            _ => return None,
        })
    }

    /// As main.cf writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::May => "may",
            Self::Encrypt => "encrypt",
            Self::Fingerprint => "fingerprint",
            Self::Dane => "dane",
            Self::DaneOnly => "dane-only",
            Self::Verify => "verify",
            Self::Secure => "secure",
        }
    }

    /// Nothing goes out without encryption.
    pub fn is_mandatory(self) -> bool {
        self >= Self::Encrypt && self != Self::Dane
    }
}

/// The rules for one destination. Of those without encryption only the level counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Policy {
    pub level: Level,
    pub protocols: String,
    pub exclude: String,
    /// Fingerprints, or names and `nexthop`, `hostname`, `dot-nexthop`.
    pub matches: Vec<String>,
    /// The name to ask for.
    pub servername: String,
    pub reuse: bool,
    /// From an entry of `smtp_tls_policy_maps`: what domains say of themselves does not change it.
    pub explicit: bool,
    /// The host must be one of these (`mx_host_pattern` of an MTA-STS plugin); empty: any.
    pub hosts: Vec<String>,
    /// Trust anchor files (`tafile`); none: the authorities count.
    pub anchors: Vec<PathBuf>,
    /// Who may sign the server's certificate instead of the authorities of the parameters.
    pub authorities: Option<Authorities>,
}

/// A table that cannot be asked, or an entry that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadPolicy {
    /// For the log.
    pub warnings: Vec<String>,
    /// For the sender.
    pub reason: &'static str,
}

/// `smtp_tls_dane_insecure_mx_policy`: what the records of a host are for whose name may be forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InsecureMx {
    /// Nothing.
    May,
    /// A wish for encryption.
    Encrypt,
    /// As good as any.
    Dane,
}

/// What makes one connector differ from another: protocols, exclusions, authorities.
type Handshake = (String, String, Option<Authorities>);

/// The settings of a client.
pub(crate) struct Tls {
    pub level: Level,
    pub wrapper: bool,
    pub log_level: u32,
    pub note_offer: bool,
    pub digest: Digest,
    pub time_limit: Duration,
    /// `tls_wildcard_matches_multiple_labels`.
    pub wide_wildcards: bool,
    pub insecure_mx: InsecureMx,
    /// `smtp_tls_force_insecure_host_tlsa_lookup`.
    pub force_tlsa_lookup: bool,
    /// Matching types of TLSA records, the strongest first (`tls_dane_digests`).
    pub dane_digests: Vec<u8>,
    /// `smtp_tls_enforce_sts_mx_patterns`.
    enforce_mx_patterns: bool,
    policy_maps: Maps,
    per_site: Maps,
    enforce_peername: bool,
    opportunistic: (String, String),
    mandatory: (String, String),
    fingerprints: Vec<String>,
    verify_match: Vec<String>,
    secure_match: Vec<String>,
    servername: String,
    reuse: bool,
    keys: Vec<KeyFiles>,
    authorities: Authorities,
    curves: String,
    files: Files,
    /// How long sessions go on, with `smtp_tls_session_cache_database`.
    resume: Option<Duration>,
    /// `smtp_tls_trust_anchor_file`.
    anchors: Vec<PathBuf>,
    anchor_files: Mutex<HashMap<Vec<PathBuf>, Arc<AnchorFiles>>>,
    connectors: Mutex<HashMap<Handshake, Arc<Connector>>>,
}

impl Tls {
    pub fn open(dialect: Dialect, cfg: &Config, deps: &Deps) -> Result<Self, Error> {
        let name = |suffix: &str| format!("{}_{suffix}", dialect.prefix());
        let str = |suffix: &str| cfg.str(&name(suffix));
        let list = |suffix: &str| cfg.list(&name(suffix));
        let maps = |suffix: &str| Ok::<_, Error>(Maps::open(&deps.tables, &name(suffix), &str(suffix)?));
        let exclude = str("tls_exclude_ciphers")?;
        let path =
            |suffix: &str| Ok::<_, Error>(Some(str(suffix)?).filter(|t| !t.is_empty()).map(PathBuf::from));
        let curves = "tls_eecdh_auto_curves";
        Ok(Self {
            level: level(cfg, &name)?,
            wrapper: cfg.bool(&name("tls_wrappermode"))?,
            log_level: str("tls_loglevel")?.trim().parse().unwrap_or(0),
            note_offer: cfg.bool(&name("tls_note_starttls_offer"))?,
            digest: Digest::named(&str("tls_fingerprint_digest")?).map_err(|e| Error::new(e.to_string()))?,
            time_limit: cfg.time(&name("starttls_timeout"))?.max(Duration::from_secs(1)),
            wide_wildcards: cfg.bool("tls_wildcard_matches_multiple_labels")?,
            insecure_mx: match cfg.str("smtp_tls_dane_insecure_mx_policy")?.as_str() {
                "may" => InsecureMx::May,
                "encrypt" => InsecureMx::Encrypt,
                "dane" => InsecureMx::Dane,
                word => return Err(Error::new(format!("bad smtp_tls_dane_insecure_mx_policy: {word}"))),
            },
            force_tlsa_lookup: cfg.bool(&name("tls_force_insecure_host_tlsa_lookup"))?,
            dane_digests: digests(&cfg.list("tls_dane_digests")?)?,
            enforce_mx_patterns: cfg.bool(&name("tls_enforce_sts_mx_patterns"))?,
            policy_maps: maps("tls_policy_maps")?,
            per_site: maps("tls_per_site")?,
            enforce_peername: cfg.bool(&name("tls_enforce_peername"))?,
            opportunistic: (str("tls_protocols")?, exclude.clone()),
            mandatory: (
                str("tls_mandatory_protocols")?,
                format!("{exclude} {}", str("tls_mandatory_exclude_ciphers")?),
            ),
            fingerprints: list("tls_fingerprint_cert_match")?,
            verify_match: list("tls_verify_cert_match")?,
            secure_match: list("tls_secure_cert_match")?,
            servername: str("tls_servername")?,
            reuse: cfg.bool(&name("tls_connection_reuse"))?,
            keys: keys(cfg, &name)?,
            authorities: Authorities {
                file: path("tls_CAfile")?,
                path: path("tls_CApath")?,
                system: cfg.bool("tls_append_default_CA")?,
                depth: u32::try_from(cfg.int(&name("tls_scert_verifydepth"))?).ok(),
            },
            curves: if cfg.is_set(curves) { cfg.str(curves)? } else { String::new() },
            files: Arc::clone(&deps.opener),
            resume: resumption(cfg, &name)?,
            anchors: list("tls_trust_anchor_file")?.into_iter().map(PathBuf::from).collect(),
            anchor_files: Mutex::default(),
            connectors: Mutex::default(),
        })
    }

    /// The rules for a next hop (as it was given) and one of its hosts. `warn` hears of files that have changed for the worse.
    pub async fn policy(
        &self,
        hop: &str,
        host: &str,
        warn: &(dyn Fn(&str) + Sync),
    ) -> Result<Policy, BadPolicy> {
        let policy = self.find(hop, host).await?;
        self.trust_anchors(&policy, warn).map_err(|problem| {
            let then = format!("TLS policy lookup for {hop}/{host}: {CONFUSED}");
            BadPolicy { warnings: problem.lines.into_iter().chain([then]).collect(), reason: CONFUSED }
        })?;
        Ok(policy)
    }

    /// What chains must lead to instead of authorities. `warn` hears of files that have changed and cannot be used.
    pub fn trust_anchors(
        &self,
        policy: &Policy,
        warn: &dyn Fn(&str),
    ) -> Result<Option<Arc<TrustAnchors>>, Problem> {
        if policy.anchors.is_empty() {
            return Ok(None);
        }
        let files = {
            let mut all = self.anchor_files.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MAX_CONNECTORS {
                all.clear();
            }
            let make = || Arc::new(AnchorFiles::new(policy.anchors.clone(), Arc::clone(&self.files)));
            Arc::clone(all.entry(policy.anchors.clone()).or_insert_with(make))
        };
        let (anchors, complaints) = files.ready();
        complaints.iter().for_each(|line| warn(line));
        anchors.map(Some)
    }

    async fn find(&self, hop: &str, host: &str) -> Result<Policy, BadPolicy> {
        if !self.policy_maps.is_empty() {
            return match self.lookup(hop).await? {
                Some(entry) => self.parse(hop, host, &entry),
                None => Ok(self.at(self.level)),
            };
        }
        if !self.per_site.is_empty() {
            return self.of_site(hop, host).await;
        }
        Ok(self.at(self.level))
    }

    /// As a policy that the destination publishes demands: a certificate of an authority, with the host's name (RFC 8461 4.2). Where
    /// the parameters name no authorities, those count by which the policy itself was believed.
    pub fn published(&self, authorities: &Authorities) -> Policy {
        Policy {
            matches: vec!["hostname".to_owned()],
            servername: "hostname".to_owned(),
            authorities: self.authorities.is_nobody().then(|| authorities.clone()),
            ..self.at(Level::Secure)
        }
    }

    /// The parameters at a level.
    pub fn at(&self, level: Level) -> Policy {
        if level == Level::None {
            return Policy::default();
        }
        let (protocols, exclude) =
            if level > Level::May { self.mandatory.clone() } else { self.opportunistic.clone() };
        let matches = match level {
            Level::Fingerprint => self.fingerprints.clone(),
            Level::Verify => self.verify_match.clone(),
            Level::Secure => self.secure_match.clone(),
            _ => Vec::new(),
        };
        Policy {
            level,
            protocols,
            exclude,
            matches,
            servername: self.servername.clone(),
            reuse: self.reuse,
            anchors: if level >= Level::Verify { self.anchors.clone() } else { Vec::new() },
            ..Policy::default()
        }
    }

    /// The entry of `smtp_tls_policy_maps`: the next hop as it is, then its parent domains.
    async fn lookup(&self, hop: &str) -> Result<Option<String>, BadPolicy> {
        let title = self.policy_maps.title();
        let failed = |key: &str| BadPolicy {
            warnings: vec![format!("{title}, next-hop destination \"{key}\": policy table lookup error")],
            reason: CONFUSED,
        };
        if let Some(found) = self.policy_maps.find(hop).await.map_err(|_| failed(hop))? {
            return Ok(Some(found));
        }
        if hop.starts_with('[') || hop.contains(':') {
            return Ok(None);
        }
        for (i, _) in hop.match_indices('.').take(32) {
            let parent = hop.get(i..).unwrap_or_default();
            if let Some(found) = self.policy_maps.find(parent).await.map_err(|_| failed(parent))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn parse(&self, hop: &str, host: &str, entry: &str) -> Result<Policy, BadPolicy> {
        let what = format!("{}, next-hop destination \"{hop}\"", self.policy_maps.title());
        let bad = |text: String| BadPolicy {
            warnings: vec![
                format!("{what}: {text}"),
                format!("TLS policy lookup for {hop}/{host}: {CONFUSED}"),
            ],
            reason: CONFUSED,
        };
        let mut words = base_conf::list::split(entry).into_iter().map(unbraced);
        let word = words.next().ok_or_else(|| bad("empty result".into()))?;
        let level = Level::named(&word).ok_or_else(|| bad(format!("invalid security level \"{word}\"")))?;
        let mut policy = Policy { explicit: true, ..self.at(level) };
        let (mut own, mut anchors): (Vec<String>, Vec<PathBuf>) = Default::default();
        for word in words {
            let word = word.as_str();
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| bad(format!("malformed attribute/value pair \"{word}\"")))?;
            if level == Level::None {
                return Err(bad(format!("attribute \"{name}\" invalid at security level \"none\"")));
            }
            match name.to_ascii_lowercase().as_str() {
                "protocols" if protocols(value).is_ok() => policy.protocols = value.to_owned(),
                "match" => own.extend(
                    value.split(if level == Level::Fingerprint { '|' } else { ':' }).map(str::to_owned),
                ),
                "exclude" => policy.exclude = format!("{} {}", policy.exclude, value),
                "servername" => policy.servername = value.to_owned(),
                "connection_reuse" => policy.reuse = value.eq_ignore_ascii_case("yes"),
                // What MTA-STS plugins say (from 3.10).
                "mx_host_pattern" if self.enforce_mx_patterns => {
                    policy.hosts.push(value.to_ascii_lowercase())
                }
                "mx_host_pattern" | "policy_domain" | "policy_failure" | "policy_string" | "policy_ttl"
                | "policy_type" => {}
                "tafile" if level >= Level::Verify => anchors.push(value.into()),
                // What OpenSSL alone has.
                "ciphers" | "enable_rpk" => {}
                "protocols" => return Err(bad(format!("invalid {name} value \"{value}\""))),
                _ => return Err(bad(format!("invalid attribute name: \"{name}\""))),
            }
        }
        if !own.is_empty() {
            policy.matches = own;
        }
        if !anchors.is_empty() {
            policy.anchors = anchors;
        }
        if !policy.hosts.is_empty() {
            // The certificate is that of the host, which is one of the policy's (`smtp_tls_enforce_sts_mx_patterns`).
            policy.matches = vec!["hostname".to_owned()];
        }
        if level == Level::Fingerprint && policy.matches.is_empty() {
            return Err(bad("no certificate fingerprints".into()));
        }
        Ok(policy)
    }

    /// `smtp_tls_per_site`: by host and by next hop, the stricter one counts; NONE yields to a word of the other.
    async fn of_site(&self, hop: &str, host: &str) -> Result<Policy, BadPolicy> {
        let domain = split_host_port(hop).map_or(hop, |(h, _)| h);
        let mut found = Vec::new();
        for key in [domain, host] {
            let value = self.per_site.find(key).await.map_err(|_| BadPolicy {
                warnings: vec![format!("{} lookup error for {key}", self.per_site.title())],
                reason: CONFUSED,
            })?;
            let Some(value) = value else { continue };
            match value.to_ascii_uppercase().as_str() {
                "NONE" => found.push(Level::None),
                "MAY" => found.push(Level::May),
                "MUST_NOPEERMATCH" => found.push(Level::Encrypt),
                "MUST" => found.push(if self.enforce_peername { Level::Verify } else { Level::Encrypt }),
                other => {
                    return Err(BadPolicy {
                        warnings: vec![format!(
                            "table {}: key {key}: value \"{other}\" is unknown",
                            self.per_site.title()
                        )],
                        reason: CONFUSED,
                    });
                }
            }
        }
        Ok(self.at(found.into_iter().max().unwrap_or(self.level)))
    }

    /// The connector for a policy; they are made once.
    pub fn connector(&self, policy: &Policy) -> Arc<Connector> {
        let key = (policy.protocols.clone(), policy.exclude.clone(), policy.authorities.clone());
        let mut all = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(c) = all.get(&key) {
            return Arc::clone(c);
        }
        let options = ConnectorOptions {
            keys: self.keys.clone(),
            authorities: key.2.clone().unwrap_or_else(|| self.authorities.clone()),
            handshakes: Handshakes {
                protocols: key.0.clone(),
                exclude: key.1.clone(),
                curves: self.curves.clone(),
            },
            resume: self.resume,
        };
        let c = Arc::new(Connector::new(options, Arc::clone(&self.files)));
        if all.len() < MAX_CONNECTORS {
            all.insert(key, Arc::clone(&c));
        }
        c
    }
}

fn level(cfg: &Config, name: &dyn Fn(&str) -> String) -> Result<Level, Error> {
    let parameter = name("tls_security_level");
    let text = cfg.str(&parameter)?;
    if !text.is_empty() {
        return Level::named(&text).ok_or_else(|| Error::new(format!("invalid TLS level \"{text}\"")));
    }
    if cfg.bool(&name("enforce_tls"))? {
        let peer = cfg.bool(&name("tls_enforce_peername"))?;
        return Ok(if peer { Level::Verify } else { Level::Encrypt });
    }
    Ok(if cfg.bool(&name("use_tls"))? { Level::May } else { Level::None })
}

/// `*_tls_session_cache_database` and its timeout: two minutes at least, a hundred days at most, none at all for zero. The sessions
/// themselves are in memory.
fn resumption(cfg: &Config, name: &dyn Fn(&str) -> String) -> Result<Option<Duration>, Error> {
    let wanted = !cfg.str(&name("tls_session_cache_database"))?.is_empty();
    let time = cfg.time(&name("tls_session_cache_timeout"))?;
    let (least, most) = (Duration::from_secs(120), Duration::from_secs(100 * 86_400));
    Ok((wanted && !time.is_zero()).then(|| time.clamp(least, most)))
}

/// `{ name = value }` as `name=value`.
fn unbraced(word: &str) -> String {
    let Some(inner) = word.strip_prefix('{').and_then(|w| w.strip_suffix('}')) else {
        return word.to_owned();
    };
    let (name, value) = inner.split_once('=').unwrap_or((inner, ""));
    format!("{}={}", name.trim(), value.trim())
}

/// `sha512 sha256=1`: the numbers of RFC 7218 2.3.
fn digests(words: &[String]) -> Result<Vec<u8>, Error> {
    let number = |word: &String| {
        let (name, number) = word.split_once('=').map_or((word.as_str(), None), |(n, v)| (n, Some(v)));
        let known = match name.to_ascii_lowercase().as_str() {
            "sha256" => 1,
            "sha512" => 2,
            _ => return Err(Error::new(format!("tls_dane_digests: unsupported digest algorithm: {name}"))),
        };
        match number.is_none_or(|n| n.parse() == Ok(known)) {
            true => Ok(known),
            false => Err(Error::new(format!("tls_dane_digests: {word}: the number of {name} is {known}"))),
        }
    };
    words.iter().map(number).collect()
}

fn keys(cfg: &Config, name: &dyn Fn(&str) -> String) -> Result<Vec<KeyFiles>, Error> {
    let chains = cfg.list(&name("tls_chain_files"))?;
    if !chains.is_empty() {
        return Ok(chains.into_iter().map(|f| KeyFiles::Chain(f.into())).collect());
    }
    let mut keys = Vec::new();
    for (kind, cert, key) in
        [("RSA", "tls_cert_file", "tls_key_file"), ("ECDSA", "tls_eccert_file", "tls_eckey_file")]
    {
        let (cert, key) = (cfg.str(&name(cert))?, cfg.str(&name(key))?);
        if !cert.is_empty() && cert != "none" {
            keys.push(KeyFiles::Pair { kind, cert: cert.into(), key: key.into() });
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn check(main_cf: &str, hop: &str, want: &str) {
        let bench = Bench::new(main_cf);
        let tls = Tls::open(Dialect::Smtp, &bench.config, &bench.deps).expect("parameters");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let got = match runtime.block_on(tls.policy(hop, "mx.test", &|_| ())) {
            Ok(p) => format!("{:?} {} {}", p.level, p.protocols, p.matches.join(" ")),
            Err(e) => e.warnings.join("; "),
        };
        assert_eq!(got.trim_end(), want, "{hop} {main_cf}");
    }

    #[test]
    fn levels_and_their_settings() {
        check("smtp_tls_security_level =", "a.test", "None");
        check("smtp_tls_security_level =\nsmtp_use_tls = yes", "a.test", "May >=TLSv1");
        check("smtp_tls_security_level =\nsmtp_enforce_tls = yes", "a.test", "Verify >=TLSv1 hostname");
        check(
            "smtp_tls_security_level = secure\nsmtp_tls_mandatory_protocols = >=TLSv1.2",
            "a.test",
            "Secure >=TLSv1.2 nexthop dot-nexthop",
        );
    }

    #[test]
    fn entries_of_policy_maps() {
        let main_cf = "smtp_tls_security_level = may\nsmtp_tls_policy_maps = inline:{{a.test=encrypt protocols=TLSv1.3 ciphers=high}, \
                       {.b.test=verify match=x.test:.y.test}, {[h.test]:587=none}, {c.test=foo}, {d.test=may x=y}}";
        check(main_cf, "a.test", "Encrypt TLSv1.3");
        check(main_cf, "sub.b.test", "Verify >=TLSv1 x.test .y.test");
        check(main_cf, "[h.test]:587", "None");
        check(main_cf, "other.test", "May >=TLSv1");
        check(
            main_cf,
            "c.test",
            "smtp_tls_policy_maps, next-hop destination \"c.test\": invalid security level \"foo\"; \
             TLS policy lookup for c.test/mx.test: client TLS configuration problem",
        );
        check(
            main_cf,
            "d.test",
            "smtp_tls_policy_maps, next-hop destination \"d.test\": invalid attribute name: \"x\"; \
             TLS policy lookup for d.test/mx.test: client TLS configuration problem",
        );
    }

    #[test]
    fn authorities_of_published_policies() {
        let system = Authorities::file_or_system("");
        for (main_cf, want) in [
            ("", Some(system.clone())),
            ("smtp_tls_CAfile = /ca.pem", None),
            ("smtp_tls_CApath = /ca", None),
            ("tls_append_default_CA = yes", None),
        ] {
            let bench = Bench::new(main_cf);
            let tls = Tls::open(Dialect::Smtp, &bench.config, &bench.deps).expect("parameters");
            assert_eq!(tls.published(&system).authorities, want, "{main_cf}");
        }
    }

    #[test]
    fn a_renewed_anchor_that_is_bad_is_told() {
        let dir = tempfile::tempdir().expect("folder");
        let file = dir.path().join("ta.pem");
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).expect("certificate");
        std::fs::write(&file, made.cert.pem()).expect("file");
        let main_cf =
            format!("smtp_tls_security_level = secure\nsmtp_tls_trust_anchor_file = {}", file.display());
        let bench = Bench::new(&main_cf);
        let tls = Tls::open(Dialect::Smtp, &bench.config, &bench.deps).expect("parameters");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let said = Mutex::new(Vec::new());
        let warn = |line: &str| said.lock().expect("list").push(line.to_owned());
        let ask = || runtime.block_on(tls.policy("a.test", "mx.test", &warn)).expect("policy");
        ask();
        std::fs::write(&file, "bad").expect("file");
        // Files are looked at once a second.
        let end = std::time::Instant::now() + Duration::from_secs(30);
        while said.lock().expect("list").is_empty() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
            ask();
        }
        let said = said.into_inner().expect("list");
        let want = format!("error loading trust anchors from file: {}", file.display());
        assert_eq!(said.first(), Some(&want));
    }

    #[test]
    fn sites() {
        let main_cf = "smtp_tls_security_level =\nsmtp_tls_per_site = inline:{{a.test=MUST}, {mx.test=NONE}}";
        check(main_cf, "[a.test]:25", "Verify >=TLSv1 hostname");
        check(main_cf, "b.test", "None");
    }
}
