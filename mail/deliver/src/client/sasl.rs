//! `smtp_sasl_*`: logging in to a server that knows us (SASL_README "Configuring SASL authentication in the Postfix SMTP
//! client").
//!
//! A name and password come from `smtp_sasl_password_maps`, by sender, host, or next hop; without an entry nobody logs in.
//! The strongest mechanism that both sides have and the options allow is used. A failure defers the mail, or as the
//! server says with `smtp_sasl_auth_soft_bounce = no`.

use super::{
    config::{ClientConfig, Dialect},
    oauth::Tokens,
    session::{Broken, Peer, Session},
    texts,
};
use crate::{Deps, report::Reporter};
use base_calls::Diagnosis;
use base_conf::{Config, Error};
use base_tables::{Maps, MatchKind, MatchList};
use base64::{Engine, engine::general_purpose::STANDARD};
use proto_dsn::Status;
use proto_sasl::{
    Properties, Security,
    client::{Credentials, MECHANISMS, start},
};
use proto_smtp::client::{ServerReply, Stage};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The most challenges of one exchange.
const ROUNDS: usize = 10;
/// The most refused logins that are remembered.
const MAX_REFUSED: usize = 1000;
/// The mechanisms of who has an access token.
const BEARER: [&str; 2] = ["OAUTHBEARER", "XOAUTH2"];
/// The reply to a wrong password (RFC 4954 6).
const WRONG_PASSWORD: u16 = 535;

/// The settings.
pub(crate) struct Sasl {
    maps: Maps,
    by_sender: bool,
    delimiter: String,
    filter: Option<MatchList>,
    plain: Security,
    tls: Security,
    tls_verified: Security,
    soft_bounce: bool,
    authzid: bool,
    service: &'static str,
    cache: Option<Cache>,
    tokens: Option<Tokens>,
}

/// Logins that were refused (`smtp_sasl_auth_cache_name`): not tried again for a while. Kept in memory.
struct Cache {
    time: Duration,
    refused: Mutex<HashMap<(String, Login), (Instant, ServerReply)>>,
}

impl Cache {
    fn find(&self, host: &str, login: &Login) -> Option<ServerReply> {
        let mut all = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_owned(), login.clone());
        let (since, reply) = all.get(&key)?;
        if since.elapsed() < self.time {
            return Some(reply.clone());
        }
        all.remove(&key);
        None
    }

    fn remember(&self, host: &str, login: &Login, reply: &ServerReply) {
        let mut all = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_REFUSED {
            all.clear();
        }
        all.insert((host.to_owned(), login.clone()), (Instant::now(), reply.clone()));
    }
}

/// A name and password for a server.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Login {
    pub user: String,
    pub password: String,
}

/// Without the password: whatever is printed may end in a log.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:…", self.user)
    }
}

/// Why there is no session: what to say, and whether the connection still stands.
type Failed = (Diagnosis, bool);

impl Sasl {
    /// `None`: nobody logs in.
    pub fn open(dialect: Dialect, cfg: &Config, deps: &Deps) -> Result<Option<Self>, Error> {
        let name = |rest: &str| format!("{}_{rest}", dialect.prefix());
        if !cfg.bool(&name("sasl_auth_enable"))? {
            return Ok(None);
        }
        let security = |suffix: &str| -> Result<Security, Error> {
            Security::parse(&cfg.str(&name(suffix))?).map_err(|e| Error::new(e.to_string()))
        };
        let (filter, maps) = (name("sasl_mechanism_filter"), name("sasl_password_maps"));
        let filter_text = cfg.str(&filter)?;
        let kind = cfg.str(&name("sasl_type"))?;
        if kind != "cyrus" && kind != "internal" {
            return Err(Error::new(format!("unsupported SASL client implementation: {kind}")));
        }
        Ok(Some(Self {
            maps: Maps::open(&deps.tables, &maps, &cfg.str(&maps)?),
            by_sender: cfg.bool(&name("sender_dependent_authentication"))?,
            delimiter: cfg.str(&name("sasl_password_result_delimiter"))?,
            filter: (!filter_text.is_empty())
                .then(|| MatchList::open(&deps.tables, &filter, &filter_text, MatchKind::String, false)),
            plain: security("sasl_security_options")?,
            tls: security("sasl_tls_security_options")?,
            tls_verified: security("sasl_tls_verified_security_options")?,
            soft_bounce: cfg.bool(&name("sasl_auth_soft_bounce"))?,
            authzid: cfg.bool("send_cyrus_sasl_authzid")?,
            service: dialect.prefix(),
            cache: match cfg.str(&name("sasl_auth_cache_name"))?.as_str() {
                "" => None,
                _ => {
                    Some(Cache { time: cfg.time(&name("sasl_auth_cache_time"))?, refused: Mutex::default() })
                }
            },
            tokens: Tokens::open(dialect, cfg, deps)?,
        }))
    }

    /// Who we are for a host and next hop; `Err`: the table cannot be asked.
    pub async fn login(&self, sender: &str, host: &str, hop: &str) -> Result<Option<Login>, String> {
        let mut keys: Vec<&str> = Vec::new();
        if self.by_sender && !sender.is_empty() {
            keys.push(sender);
            keys.extend(sender.rfind('@').and_then(|at| sender.get(at..)));
        }
        keys.extend([host, hop]);
        for key in keys {
            let found = self.maps.find(key).await;
            let found = found.map_err(|_| format!("{} lookup error for {key}", self.maps.title()))?;
            if let Some(entry) = found {
                let (user, password) = entry.split_once(self.delimiter.as_str()).unwrap_or((&entry, ""));
                return Ok(Some(Login { user: user.to_owned(), password: password.to_owned() }));
            }
        }
        Ok(None)
    }

    async fn wanted<'a>(&self, offered: &'a [String], bearer: bool) -> Vec<&'a str> {
        let mut out = Vec::new();
        let usable = |name: &&String| !bearer || BEARER.iter().any(|b| name.eq_ignore_ascii_case(b));
        for name in offered.iter().filter(usable) {
            let yes = match &self.filter {
                Some(list) => list.matches(name).await.unwrap_or(false),
                None => true,
            };
            if yes {
                out.push(name.as_str());
            }
        }
        out
    }

    fn security(&self, session: &Session) -> Security {
        match (&session.tls, session.verified) {
            (None, _) => self.plain,
            (Some(_), false) => self.tls,
            (Some(_), true) => self.tls_verified,
        }
    }

    /// The best of what is offered.
    async fn choose(
        &self,
        offered: &[String],
        bearer: bool,
        peer: &Peer,
        security: Security,
        log: &Reporter<'_>,
    ) -> Result<&'static str, Diagnosis> {
        let wanted = self.wanted(offered, bearer).await;
        if wanted.is_empty() {
            let list = offered.join(" ");
            log.warning(&format!("{} offered no supported AUTH mechanisms: '{list}'", peer.namaddrport()));
            return Err(Diagnosis::new(
                Status::new(4, 7, 0),
                format!(
                    "SASL authentication failed: server {} offered no compatible authentication mechanisms for this type \
                     of connection security",
                    peer.namaddr()
                ),
            ));
        }
        let able = MECHANISMS.iter().map(|(name, _)| *name).find(|name| {
            wanted.iter().any(|w| w.eq_ignore_ascii_case(name))
                && security.allows(Properties::of_mechanism(name))
        });
        able.ok_or_else(|| {
            log.warning("SASL authentication failure: No worthy mechs found");
            cannot(peer, "no mechanism available")
        })
    }

    /// Logs in.
    pub async fn run(
        &self,
        session: &mut Session,
        cfg: &ClientConfig,
        login: &Login,
        log: &Reporter<'_>,
    ) -> Result<(), Failed> {
        let security = self.security(session);
        let (offered, peer) = (session.features.auth.clone(), session.peer.clone());
        let token = self.token(login).await.map_err(|why| {
            log.warning(&why);
            (cannot(&peer, "no access token"), true)
        })?;
        let mechanism =
            self.choose(&offered, token.is_some(), &peer, security, log).await.map_err(|d| (d, true))?;
        let cache = self.cache.as_ref().filter(|_| token.is_none());
        if let Some(reply) = cache.and_then(|c| c.find(&peer.name, login)) {
            return Err((self.refused(&peer, &reply, "SASL [CACHED] authentication failed"), true));
        }
        let credentials = Credentials {
            user: login.user.clone(),
            password: token.clone().unwrap_or_else(|| login.password.clone()),
            authzid: self.authzid,
            host: session.peer.name.clone(),
            service: self.service.to_owned(),
            nonce: STANDARD.encode(rand::random::<[u8; 18]>()),
        };
        let Some(mut exchange) = start(mechanism, credentials) else {
            return Err((cannot(&session.peer, "no mechanism available"), true));
        };
        let first = exchange.initial().map_or(String::new(), |text| match text.as_slice() {
            [] => " =".to_owned(),
            text => format!(" {}", STANDARD.encode(text)),
        });
        let mut line = format!("AUTH {mechanism}{first}\r\n");
        for _ in 0..ROUNDS {
            session.begin(cfg, Stage::Ehlo);
            session.stream.output().extend_from_slice(line.as_bytes());
            let reply = session.reply(log).await.map_err(|how| lost(&session.peer, how))?;
            match reply.class() {
                2 => return Ok(()),
                3 => {}
                _ => {
                    self.note_refusal(&peer, login, token.as_deref(), &reply).await;
                    return Err((self.refused(&peer, &reply, "SASL authentication failed"), true));
                }
            }
            let text = reply.text.get(3..).unwrap_or_default().trim();
            let challenge = STANDARD.decode(text).ok();
            let answer = challenge.and_then(|c| exchange.answer(&c).ok());
            let Some(answer) = answer else { return Err(self.abort(session, cfg, log).await) };
            line = format!("{}\r\n", STANDARD.encode(answer));
        }
        Err(self.abort(session, cfg, log).await)
    }

    /// The access token of this login, when it has one.
    async fn token(&self, login: &Login) -> Result<Option<String>, String> {
        match &self.tokens {
            Some(tokens) => tokens.token(&login.user).await,
            None => Ok(None),
        }
    }

    /// A password that was wrong is not tried again for a while, a token that was is not used again.
    async fn note_refusal(&self, peer: &Peer, login: &Login, token: Option<&str>, reply: &ServerReply) {
        match (token, &self.tokens, &self.cache) {
            (Some(token), Some(tokens), _) => tokens.refused(&login.user, token).await,
            (None, _, Some(cache)) if reply.code == WRONG_PASSWORD => {
                cache.remember(&peer.name, login, reply);
            }
            _ => {}
        }
    }

    /// What the server says makes no sense: we give up.
    async fn abort(&self, session: &mut Session, cfg: &ClientConfig, log: &Reporter<'_>) -> Failed {
        session.begin(cfg, Stage::Ehlo);
        session.stream.output().extend_from_slice(b"*\r\n");
        let alive = session.reply(log).await.is_ok();
        (cannot(&session.peer, "bad protocol / cancel"), alive)
    }

    fn refused(&self, peer: &Peer, reply: &ServerReply, what: &str) -> Diagnosis {
        let status = reply.failure_status();
        let status = if self.soft_bounce { status.with_class(4) } else { status };
        Diagnosis {
            remote_mta: Some(peer.name.clone()),
            diagnostic: Some(("smtp".into(), reply.text.clone())),
            ..Diagnosis::new(status, format!("{what}; server {} said: {}", peer.namaddr(), reply.text))
        }
    }
}

fn cannot(peer: &Peer, why: &str) -> Diagnosis {
    let text = format!("SASL authentication failed; cannot authenticate to server {}: {why}", peer.namaddr());
    Diagnosis::new(Status::new(4, 7, 0), text)
}

fn lost(peer: &Peer, how: Broken) -> Failed {
    (texts::broken(peer, Stage::Ehlo, how), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_printed() {
        let login = Login { user: "me".into(), password: "secret".into() };
        assert_eq!(format!("{login:?}"), "me:…");
    }
}
