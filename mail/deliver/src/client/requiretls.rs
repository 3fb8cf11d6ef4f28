//! REQUIRETLS as a client (RFC 8689 4.2; postconf(5) `requiretls_enable`, `smtp_requiretls_policy`; REQUIRETLS_README).
//!
//! [`RequireTls::level`] says how far the sender's demand is heeded for a destination: the first element of the list that
//! knows it decides, a word or an entry of a table (the domain, then `.parent` forms). A destination that none knows is
//! `enforce`. What a session lacks under `enforce` is a permanent failure: the mail goes back ([`fault`]).

use super::{config::Dialect, session::Session, texts};
use crate::Deps;
use base_calls::Diagnosis;
use base_conf::{Config, Error};
use base_tables::Maps;
use proto_dsn::Status;
use proto_smtp::Keyword;

/// How far the demand is heeded; greater is stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Not at all.
    Disable,
    /// It is passed on over encrypted sessions to servers that know it.
    Opportunistic,
    /// That, and nothing goes out without encryption.
    StartTls,
    /// The server must prove who it is, and know the extension.
    Enforce,
}

impl Level {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "disable" => Self::Disable,
            "opportunistic" => Self::Opportunistic,
            "opportunistic+starttls" => Self::StartTls,
            "enforce" => Self::Enforce,
            _ => return None,
        })
    }
}

/// One element of the list.
enum Element {
    Word(Level),
    Table(Maps),
}

/// The parameters of a client.
pub(crate) struct RequireTls {
    enabled: bool,
    policy: Vec<Element>,
}

impl RequireTls {
    pub fn open(dialect: Dialect, cfg: &Config, deps: &Deps) -> Result<Self, Error> {
        let name = format!("{}_requiretls_policy", dialect.prefix());
        let mut policy = Vec::new();
        for word in cfg.list(&name)? {
            policy.push(match Level::named(&word) {
                Some(level) => Element::Word(level),
                None if word.contains(':') => Element::Table(Maps::open(&deps.tables, &name, &word)),
                None => return Err(Error::new(format!("{name}: invalid policy: \"{word}\""))),
            });
        }
        Ok(Self { enabled: cfg.bool("requiretls_enable")?, policy })
    }

    /// For a destination; an error is for the log.
    pub async fn level(&self, domain: &str) -> Result<Level, String> {
        if !self.enabled {
            return Ok(Level::Disable);
        }
        for element in &self.policy {
            match element {
                Element::Word(level) => return Ok(*level),
                Element::Table(maps) => {
                    if let Some(level) = entry(maps, domain).await? {
                        return Ok(level);
                    }
                }
            }
        }
        Ok(Level::Enforce)
    }
}

async fn entry(maps: &Maps, domain: &str) -> Result<Option<Level>, String> {
    let parents = domain.match_indices('.').take(32).filter_map(|(i, _)| domain.get(i..));
    for key in std::iter::once(domain).chain(parents) {
        let found = maps.find(key).await.map_err(|_| format!("{} lookup error for {key}", maps.title()))?;
        if let Some(word) = found {
            let level = Level::named(&word);
            return level
                .map(Some)
                .ok_or_else(|| format!("{}: key {key}: invalid policy: \"{word}\"", maps.title()));
        }
    }
    Ok(None)
}

/// What the session lacks of what the demand needs; nothing below `enforce`.
pub(crate) fn fault(level: Option<Level>, session: &Session) -> Option<Diagnosis> {
    let missing = missing(session).filter(|_| level == Some(Level::Enforce))?;
    Some(texts::no_requiretls(&session.peer, missing.words()))
}

/// What a session may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Encryption,
    Proof,
    Extension,
}

impl Missing {
    fn words(self) -> &'static str {
        match self {
            Self::Encryption => "TLS is not used by",
            Self::Proof => "no certificate is verified of",
            Self::Extension => "REQUIRETLS was not offered by",
        }
    }

    /// For the delivery line.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Encryption => "nostarttls",
            Self::Proof => "nocertmatch",
            Self::Extension => "norequiretls",
        }
    }
}

/// The first thing that a session lacks.
pub(crate) fn missing(session: &Session) -> Option<Missing> {
    match session {
        s if s.tls.is_none() => Some(Missing::Encryption),
        s if !s.verified => Some(Missing::Proof),
        s if !s.features.has(Keyword::RequireTls) => Some(Missing::Extension),
        _ => None,
    }
}

/// Whether MAIL says it.
pub(crate) fn is_sent(level: Option<Level>, session: &Session) -> bool {
    level.is_some_and(|l| l > Level::Disable)
        && session.tls.is_some()
        && session.features.has(Keyword::RequireTls)
}

/// `X.7.30`, RFC 8689 8.
pub(crate) const NEEDED: Status = Status::new(5, 7, 30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn the_first_that_knows_a_destination_decides() {
        let main_cf = "smtp_requiretls_policy = inline:{{.b.test=disable}, {c.b.test=enforce}, {d.test=foo}}, opportunistic";
        let check = |main_cf: &str, domain: &str| {
            let bench = Bench::new(main_cf);
            let policy = RequireTls::open(Dialect::Smtp, &bench.config, &bench.deps).expect("parameters");
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
            runtime.block_on(policy.level(domain))
        };
        for (domain, want) in
            [("a.b.test", Level::Disable), ("c.b.test", Level::Enforce), ("b.test", Level::Opportunistic)]
        {
            assert_eq!(check(main_cf, domain), Ok(want), "{domain}");
        }
        assert!(check(main_cf, "d.test").is_err_and(|e| e.contains("invalid policy: \"foo\"")));
        assert_eq!(check("smtp_requiretls_policy = opportunistic+starttls", "x"), Ok(Level::StartTls));
        assert_eq!(check("smtp_requiretls_policy =", "x"), Ok(Level::Enforce));
        assert_eq!(check("requiretls_enable = no", "x"), Ok(Level::Disable));
        let bench = Bench::new("smtp_requiretls_policy = sometimes");
        assert!(RequireTls::open(Dialect::Smtp, &bench.config, &bench.deps).is_err());
    }
}
