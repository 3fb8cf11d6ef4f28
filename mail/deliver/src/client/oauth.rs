//! Access tokens for XOAUTH2 and OAUTHBEARER, an extension: `smtp_sasl_oauth_maps` has, for the user whom `smtp_sasl_password_maps` names,
//! a refresh token and where it becomes an access token (RFC 6749 6).
//!
//! A value is a list of `token_url=`, `client_id=`, `client_secret=`, `refresh_token=`, `scope=` (in braces where there are spaces). An
//! access token is used until shortly before it ends, or until a server refuses it. A new refresh token that comes with
//! one replaces the table's, also after a restart (`smtp_sasl_oauth_cache_map`). One question at a time for each user.

use super::config::Dialect;
use crate::Deps;
use base_cache::Cache;
use base_conf::{Config, Error, list};
use base_https::{Https, Request};
use base_tables::Maps;
use base_tls::{Authorities, Digest};
use serde_json::Value;
use std::{
    collections::HashMap,
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// For the server of tokens.
const PATIENCE: Duration = Duration::from_secs(30);
const MAX_ANSWER: usize = 64 * 1024;
/// The longest access token, and the longest refresh token, which the cache must be able to keep.
const MAX_TOKEN: usize = 16 * 1024;
const MAX_REFRESH: usize = 4 * 1024;
/// The most users whose tokens are kept.
const MAX_USERS: usize = 1000;
/// A token is not used in the last minute of its life, so that it lasts for the login.
const RESERVE: Duration = Duration::from_secs(60);
/// A server that gave none is not asked again before this: deliveries that wait for the same user would each wait for it in turn.
const AGAIN: Duration = Duration::from_secs(60);
/// When the server does not say how long a token lasts.
const USUAL_LIFE: Duration = Duration::from_secs(3600);

/// Where tokens come from.
pub(crate) struct Tokens {
    maps: Maps,
    https: Https,
    cache: Arc<Cache>,
    kept: Mutex<HashMap<String, Turn>>,
}

/// What the server said last about a user; whoever asks again holds the lock.
type Turn = Arc<tokio::sync::Mutex<Option<Kept>>>;

struct Kept {
    /// The token, or why there is none.
    answer: Result<String, String>,
    until: Instant,
    /// The settings that it was had with.
    source: Source,
}

/// A value of the table.
#[derive(Clone, PartialEq, Eq, Default)]
struct Source {
    url: String,
    client: String,
    secret: String,
    refresh: String,
    scope: String,
}

/// What the server gave.
#[derive(Debug, PartialEq, Eq)]
struct Granted {
    token: String,
    life: Duration,
    refresh: Option<String>,
}

impl Tokens {
    /// `None`: no `smtp_sasl_oauth_maps`. Must run within a tokio runtime.
    pub fn open(dialect: Dialect, cfg: &Config, deps: &Deps) -> Result<Option<Self>, Error> {
        let name = |rest: &str| format!("{}_{rest}", dialect.prefix());
        let (parameter, file) = (name("sasl_oauth_maps"), cfg.str(&name("sasl_oauth_CAfile"))?);
        let maps = cfg.str(&parameter)?;
        if maps.is_empty() {
            return Ok(None);
        }
        let https = Https::new(&Authorities::file_or_system(&file), &deps.opener, PATIENCE, MAX_ANSWER)
            .map_err(|e| Error::new(format!("{}: {e}", name("sasl_oauth_CAfile"))))?;
        Ok(Some(Self {
            maps: Maps::open(&deps.tables, &parameter, &maps),
            https,
            cache: deps.caches.open(&cfg.str(&name("sasl_oauth_cache_map"))?),
            kept: Mutex::default(),
        }))
    }

    /// The access token of a user; `Ok(None)`: the table does not know him, and logs in as usual. The error is for the log.
    pub async fn token(&self, user: &str) -> Result<Option<String>, String> {
        let found = self.maps.find(user).await;
        let found = found.map_err(|_| format!("{} lookup error for {user}", self.maps.title()))?;
        let Some(entry) = found else { return Ok(None) };
        let source = Source::parse(&entry).map_err(|e| format!("{}: {user}: {e}", self.maps.title()))?;
        let turn = self.turn(user);
        let mut kept = turn.lock().await;
        if let Some(kept) = kept.as_ref().filter(|k| k.source == source && k.until > Instant::now()) {
            return kept.answer.clone().map(Some);
        }
        let (answer, life) = match self.ask(user, &source).await {
            Ok(granted) => (Ok(granted.token), granted.life.saturating_sub(RESERVE)),
            Err(e) => (Err(format!("no access token for {user}: {e}")), AGAIN),
        };
        *kept = Some(Kept { answer: answer.clone(), until: Instant::now() + life, source });
        answer.map(Some)
    }

    /// A server does not want this token: the next login gets another one.
    pub async fn refused(&self, user: &str, token: &str) {
        let turn = self.turn(user);
        let mut kept = turn.lock().await;
        if kept.as_ref().is_some_and(|k| k.answer.as_deref() == Ok(token)) {
            *kept = None;
        }
    }

    fn turn(&self, user: &str) -> Turn {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_USERS {
            all.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(all.entry(user.to_owned()).or_default())
    }

    async fn ask(&self, user: &str, source: &Source) -> Result<Granted, String> {
        // Another token in the table counts for more than what followed from the last one.
        let key = format!("{user} {}", Digest::Sha256.fingerprint(source.refresh.as_bytes()));
        let newer = self.cache.get(&key);
        let body = source.form(newer.as_deref().unwrap_or(&source.refresh));
        let fields = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json")];
        let request = Request { method: "POST", fields: &fields, body: body.as_bytes() };
        let response = self.https.send(&source.url, request).await.map_err(|e| e.to_string())?;
        let granted = granted(response.status, &response.body)?;
        if let Some(refresh) = granted.refresh.as_ref().filter(|r| **r != source.refresh) {
            self.cache.put(&key, refresh);
        }
        Ok(granted)
    }
}

impl Source {
    fn parse(entry: &str) -> Result<Self, String> {
        let mut out = Self::default();
        for item in list::split(entry) {
            let (name, value) = list::unbrace(item).split_once('=').ok_or("not name=value")?;
            let place = match name.trim() {
                "token_url" => &mut out.url,
                "client_id" => &mut out.client,
                "client_secret" => &mut out.secret,
                "refresh_token" => &mut out.refresh,
                "scope" => &mut out.scope,
                other => return Err(format!("unknown name {other}")),
            };
            value.trim().clone_into(place);
        }
        for (name, value) in [("token_url", &out.url), ("refresh_token", &out.refresh)] {
            if value.is_empty() {
                return Err(format!("no {name}"));
            }
        }
        Ok(out)
    }

    /// The request (RFC 6749 2.3.1, 6).
    fn form(&self, refresh: &str) -> String {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh),
            ("client_id", &self.client),
            ("client_secret", &self.secret),
            ("scope", &self.scope),
        ];
        let fields = fields.iter().filter(|(_, value)| !value.is_empty());
        fields.map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
    }
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(b)),
            b' ' => out.push('+'),
            b => {
                let _ = write!(out, "%{b:02X}");
            }
        }
    }
    out
}

/// Reads the answer (RFC 6749 5). The error has what the server says of it, bounded.
fn granted(status: u16, body: &[u8]) -> Result<Granted, String> {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    if status != 200 {
        let error = text("error").unwrap_or_else(|| "no reason".to_owned());
        let error: String = error.chars().take(200).filter(|c| !c.is_control()).collect();
        return Err(format!("HTTP {status}: {error}"));
    }
    let fits = |t: &String, most| (1..=most).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_graphic());
    let token =
        text("access_token").filter(|t| fits(t, MAX_TOKEN)).ok_or("the answer has no access token")?;
    // Some servers write the number as text.
    let life = value["expires_in"].as_u64().or_else(|| text("expires_in")?.parse().ok());
    let life = life.map_or(USUAL_LIFE, |s| Duration::from_secs(s.min(86_400)));
    Ok(Granted { token, life, refresh: text("refresh_token").filter(|t| fits(t, MAX_REFRESH)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let entry = "token_url=https://a/t, client_id=me client_secret=x=y refresh_token=1//r {scope = a b}";
        let source = Source::parse(entry).expect("entry");
        let form =
            "grant_type=refresh_token&refresh_token=1%2F%2Fr&client_id=me&client_secret=x%3Dy&scope=a+b";
        assert_eq!((source.url.as_str(), source.form(&source.refresh)), ("https://a/t", form.to_owned()));
        for (bad, why) in [
            ("refresh_token=x", "no token_url"),
            ("token_url=https://a/", "no refresh_token"),
            ("token_url=https://a/ refresh_token=x user=me", "unknown name user"),
            ("token", "not name=value"),
        ] {
            assert_eq!(Source::parse(bad).err().as_deref(), Some(why), "{bad}");
        }
    }

    #[test]
    fn answers() {
        let read = |body: &str| granted(200, body.as_bytes()).map(|g| (g.token, g.life.as_secs(), g.refresh));
        let some = |t: &str| Some(t.to_owned());
        let long =
            format!("{{\"access_token\":\"t\",\"refresh_token\":\"{}\"}}", "x".repeat(MAX_REFRESH + 1));
        for (body, want) in [
            (r#"{"access_token":"t","expires_in":100}"#, Ok(("t".to_owned(), 100, None))),
            (
                r#"{"access_token":"t","expires_in":"9","refresh_token":"n"}"#,
                Ok(("t".to_owned(), 9, some("n"))),
            ),
            (r#"{"access_token":"t"}"#, Ok(("t".to_owned(), 3600, None))),
            (&long, Ok(("t".to_owned(), 3600, None))),
            (r#"{"access_token":"a b"}"#, Err("the answer has no access token".to_owned())),
            ("<html>", Err("the answer has no access token".to_owned())),
        ] {
            assert_eq!(read(body), want, "{body}");
        }
        let refused = granted(400, br#"{"error":"invalid_grant"}"#);
        assert_eq!(refused, Err("HTTP 400: invalid_grant".to_owned()));
    }

    /// A server of tokens: each answer once, in this order. Gives the bodies of the requests.
    async fn server(answers: Vec<(u16, String)>) -> (u16, tempfile::TempDir, Arc<Mutex<Vec<String>>>) {
        use base_tls::{KeyFiles, Server, ServerOptions};
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let dir = tempfile::tempdir().expect("folder");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
        let chain = dir.path().join("chain.pem");
        std::fs::write(&chain, format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem()))
            .expect("file");
        let options = ServerOptions { keys: vec![KeyFiles::Chain(chain)], ..Default::default() };
        let tls = Server::new(options, Arc::new(base_sys::opener::Plain), None);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let port = listener.local_addr().expect("address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            for (status, body) in answers {
                let (stream, _) = listener.accept().await.expect("client");
                let ready = tls.ready().0.expect("keys");
                let io = base_net::Socket::Tcp(stream).boxed();
                let (mut io, _) = tls.accept(&ready, io, PATIENCE).await.expect("handshake");
                let mut request = vec![0; 4096];
                let mut len = 0;
                while !request[..len].windows(14).any(|w| w == b"grant_type=ref") {
                    len += io.read(&mut request[len..]).await.expect("request");
                }
                let text = String::from_utf8_lossy(&request[..len]).into_owned();
                let body_of = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
                kept.lock().expect("list").push(body_of.expect("a body"));
                let reply = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                io.write_all(reply.as_bytes()).await.expect("reply");
                let _ = io.shutdown().await;
            }
        });
        (port, dir, asked)
    }

    fn tokens(dir: &std::path::Path, port: u16, caches: &base_cache::Caches) -> Tokens {
        let authorities = Authorities { file: Some(dir.join("chain.pem")), ..Authorities::default() };
        let files: base_tls::Files = Arc::new(base_sys::opener::Plain);
        let entry = format!("{{me = token_url=https://localhost:{port}/t client_id=c refresh_token=one}}");
        let tables = base_tables::Tables::new(base_tables::Options::default());
        let cache = format!("lmdb:{}", dir.join("cache").display());
        Tokens {
            maps: Maps::open(&tables, "smtp_sasl_oauth_maps", &format!("inline:{{{entry}}}")),
            https: Https::new(&authorities, &files, PATIENCE, MAX_ANSWER).expect("client"),
            cache: caches.open(&cache),
            kept: Mutex::default(),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn tokens_are_kept_and_renewed() {
        let grant = |token: &str, more: &str| (200, format!("{{\"access_token\":\"{token}\"{more}}}"));
        let (port, dir, asked) = server(vec![
            grant("first", ",\"refresh_token\":\"two\""),
            grant("second", ",\"expires_in\":30"),
            (400, "{\"error\":\"invalid_grant\"}".to_owned()),
            grant("third", ""),
        ])
        .await;
        let caches = base_cache::Caches::new(Arc::new(|_| {}));
        let t = tokens(dir.path(), port, &caches);
        assert_eq!(t.token("you").await, Ok(None));
        assert_eq!(t.token("me").await, Ok(Some("first".to_owned())));
        assert_eq!(t.token("me").await, Ok(Some("first".to_owned())));
        t.refused("me", "another").await;
        assert_eq!(t.token("me").await, Ok(Some("first".to_owned())));
        t.refused("me", "first").await;
        assert_eq!(t.token("me").await, Ok(Some("second".to_owned())));
        // It lasts for less than a minute. A refusal holds for one, too: the server is asked once.
        for _ in 0..2 {
            let refused = Err("no access token for me: HTTP 400: invalid_grant".to_owned());
            assert_eq!(t.token("me").await, refused);
        }
        caches.flush();
        drop(t);
        let again = tokens(dir.path(), port, &base_cache::Caches::new(Arc::new(|_| {})));
        assert_eq!(again.token("me").await, Ok(Some("third".to_owned())));
        let asked = asked.lock().expect("list").clone();
        let refresh = |body: &String| {
            body.split("refresh_token=").nth(1).and_then(|t| t.split('&').next().map(str::to_owned))
        };
        assert_eq!(asked.iter().filter_map(refresh).collect::<Vec<_>>(), ["one", "two", "two", "two"]);
    }
}
