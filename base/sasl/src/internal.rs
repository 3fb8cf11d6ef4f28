//! `smtpd_sasl_type = internal`, an extension: a file of users with what SCRAM keeps of their passwords (RFC 5803), or argon2 hashes.
//!
//! `smtpd_sasl_path` names the file (`users` in the configuration directory when it is not absolute). Lines are
//! `name:SCRAM-SHA-256$4096:SALT$STORED:SERVER` or `name:$argon2id$…` (see argon.rs), with which PLAIN and LOGIN work, SCRAM does not; the
//! passwords are not in it. The file is read for each login.

use crate::{
    Backend, Exchange, Mechanism, Places, Properties, Request, Unavailable,
    argon::Argon,
    local::{Local, Source, Trouble},
};
use base_calls::Fut;
use base_net::os_text;
use base64::{Engine, engine::general_purpose::STANDARD};
use proto_sasl::{
    Sha,
    server::{ScramSecret, Secret},
};
use std::{num::NonZeroU32, path::PathBuf, sync::Arc};

const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// The implementation.
pub struct Internal {
    source: Arc<Users>,
}

struct Users {
    places: Places,
    path: PathBuf,
}

/// How a password is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// For SCRAM-SHA-256, PLAIN and LOGIN.
    Scram,
    /// As a hash that is dear to guess; for PLAIN and LOGIN.
    Argon2,
}

/// What a line keeps.
enum Kept {
    Scram(ScramSecret),
    Argon2(Argon),
}

impl Internal {
    /// Nothing is read yet.
    pub fn new(places: &Places) -> Self {
        let path = places.config_directory.join(&places.path);
        Self { source: Arc::new(Users { places: places.clone(), path }) }
    }

    /// The line for a user.
    pub fn line(name: &str, password: &str, keep: Keep) -> String {
        let text = match keep {
            Keep::Scram => None,
            // Our own cost is one that works.
            Keep::Argon2 => Argon::of(password).map(|kept| kept.text()),
        };
        format!("{name}:{}\n", text.unwrap_or_else(|| scram(password)))
    }
}

fn scram(password: &str) -> String {
    let salt = rand::random::<[u8; 16]>().to_vec();
    let s = ScramSecret::new(Sha::Two256, password, salt, ITERATIONS);
    let [salt, stored, server] = [&s.salt, &s.stored_key, &s.server_key].map(|b| STANDARD.encode(b));
    format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}")
}

/// A password that nobody guesses, easy to type.
pub fn random_password() -> String {
    let letters: Vec<char> = "abcdefghjkmnpqrstuvwxyz23456789".chars().collect();
    let one = || letters.get(rand::random_range(0..letters.len())).copied().unwrap_or('x');
    (0..16).map(|_| one()).collect()
}

fn parse(text: &str) -> Option<Kept> {
    let argon = || Argon::parse(text).map(Kept::Argon2);
    parse_scram(text).map(Kept::Scram).or_else(argon)
}

fn parse_scram(text: &str) -> Option<ScramSecret> {
    let mut parts = text.trim().split('$');
    let (scheme, rounds, keys) = (parts.next()?, parts.next()?, parts.next()?);
    let (iterations, salt) = rounds.split_once(':')?;
    let (stored, server) = keys.split_once(':')?;
    let decode = |t: &str| STANDARD.decode(t).ok();
    Some(ScramSecret {
        sha: Sha::of_mechanism(scheme)?,
        iterations: iterations.parse().ok()?,
        salt: decode(salt)?,
        stored_key: decode(stored)?,
        server_key: decode(server)?,
    })
}

impl Users {
    fn find(&self, user: &str) -> Result<Option<Kept>, Trouble> {
        let bytes = self.places.read(&self.path).map_err(|e| Trouble {
            reason: "generic failure",
            warnings: vec![format!("SASL: cannot read {}: {}", self.path.display(), os_text(&e))],
        })?;
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().filter_map(|l| l.split_once(':')).find(|(name, _)| *name == user);
        Ok(line.and_then(|(_, rest)| parse(rest)))
    }
}

impl Source for Users {
    fn verify<'a>(&'a self, user: &'a str, password: &'a str) -> Fut<'a, Result<bool, Trouble>> {
        Box::pin(async move {
            Ok(match self.find(user)? {
                Some(Kept::Scram(kept)) => kept.is_of(password),
                Some(Kept::Argon2(kept)) => kept.matches(password).await,
                None => false,
            })
        })
    }

    fn secret<'a>(&'a self, user: &'a str) -> Fut<'a, Result<Option<Secret>, Trouble>> {
        let secret = |kept| match kept {
            Kept::Scram(kept) => Some(Secret::Scram(kept)),
            Kept::Argon2(_) => None,
        };
        Box::pin(std::future::ready(self.find(user).map(|found| found.and_then(secret))))
    }
}

impl Backend for Internal {
    fn mechanisms(&self) -> Fut<'_, Result<Vec<Mechanism>, Unavailable>> {
        let of = |name: &str| Mechanism { name: name.to_owned(), properties: Properties::of_mechanism(name) };
        let list = ["SCRAM-SHA-256", "PLAIN", "LOGIN"].into_iter().map(of).collect();
        Box::pin(std::future::ready(Ok(list)))
    }

    fn start(&self, request: Request) -> Box<dyn Exchange> {
        let host = &self.source.places.host;
        Box::new(Local::new(Arc::clone(&self.source) as _, &request.mechanism, host, host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Step;

    #[tokio::test]
    async fn users_of_a_file() {
        let dir = tempfile::tempdir().expect("folder");
        let lines = [("alice", Keep::Scram), ("carol", Keep::Argon2)]
            .map(|(name, keep)| Internal::line(name, "secret", keep));
        std::fs::write(dir.path().join("users"), lines.concat()).expect("file");
        let places =
            Places { path: "users".into(), config_directory: dir.path().to_owned(), ..Places::default() };
        let internal = Internal::new(&places);
        for (text, want) in [
            ("\0alice\0secret", true),
            ("\0alice\0wrong", false),
            ("\0bob\0secret", false),
            ("\0carol\0secret", true),
            ("\0carol\0wrong", false),
        ] {
            let mut e = internal.start(Request { mechanism: "PLAIN".into(), ..Request::default() });
            let step = e.step(Some(&STANDARD.encode(text))).await;
            assert_eq!(matches!(step, Step::Success { .. }), want, "{text:?}");
        }
        // What SCRAM needs is not in an argon2 hash.
        assert!(matches!(internal.source.secret("alice").await, Ok(Some(_))));
        assert!(matches!(internal.source.secret("carol").await, Ok(None)));
    }
}
