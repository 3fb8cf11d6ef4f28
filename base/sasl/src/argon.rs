//! Passwords kept as argon2 hashes (RFC 9106), in the text form of other servers: `$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH`, as
//! `argon2`, `doveadm pw` and web programs make it.
//!
//! Checking one costs memory and time on purpose. It happens outside of the async threads, for [`AT_ONCE`] passwords at a time; who comes
//! later waits. A line that asks for more than [`MAX_MEMORY`] or [`MAX_PASSES`] is one that cannot be read.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use tokio::sync::Semaphore;

/// Passwords that are checked at a time.
const AT_ONCE: usize = 2;
/// The most memory for one, in KiB.
const MAX_MEMORY: u32 = 64 * 1024;
/// The most passes over it.
const MAX_PASSES: u32 = 20;
const MAX_LANES: u32 = 16;
/// Sizes of salt and hash, in bytes.
const SALT: std::ops::RangeInclusive<usize> = 8..=64;
const HASH: std::ops::RangeInclusive<usize> = 16..=64;
/// What new ones cost: the first choice of OWASP's list for servers. Memory in KiB, passes, lanes.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

static CHECKS: Semaphore = Semaphore::const_new(AT_ONCE);

/// What is kept of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Argon {
    algorithm: Algorithm,
    version: Version,
    /// Memory in KiB, passes, lanes.
    cost: (u32, u32, u32),
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Argon {
    /// For a new password.
    pub fn of(password: &str) -> Option<Self> {
        let mut new = Self {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            cost: COST,
            salt: rand::random::<[u8; 16]>().to_vec(),
            hash: vec![0; 32],
        };
        new.hash = new.hash_of(password)?;
        Some(new)
    }

    /// Reads the text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().strip_prefix('$')?.split('$').peekable();
        let algorithm = Algorithm::new(parts.next()?).ok()?;
        // RFC 9106 has one version; texts without any are of the one before.
        let version = match parts.next_if(|p| p.starts_with("v=")) {
            Some("v=19") => Version::V0x13,
            Some("v=16") | None => Version::V0x10,
            Some(_) => return None,
        };
        let cost = cost(parts.next()?)?;
        let mut decoded = || STANDARD_NO_PAD.decode(parts.next()?).ok();
        let (salt, hash) = (decoded()?, decoded()?);
        let fits = SALT.contains(&salt.len()) && HASH.contains(&hash.len()) && parts.next().is_none();
        fits.then_some(Self { algorithm, version, cost, salt, hash })
    }

    /// The text.
    pub fn text(&self) -> String {
        let (name, version, (memory, passes, lanes)) =
            (self.algorithm.as_str(), self.version as u32, self.cost);
        let [salt, hash] = [&self.salt, &self.hash].map(|b| STANDARD_NO_PAD.encode(b));
        format!("${name}$v={version}$m={memory},t={passes},p={lanes}${salt}${hash}")
    }

    /// Whether this is the password.
    pub async fn matches(self, password: &str) -> bool {
        let Ok(turn) = CHECKS.acquire().await else { return false };
        let password = password.to_owned();
        let check = move || {
            // Whoever waited may be gone by now; the work is not.
            let _turn = turn;
            let other = self.hash_of(&password);
            other.is_some_and(|other| proto_sasl::same(&other, &self.hash))
        };
        tokio::task::spawn_blocking(check).await.unwrap_or(false)
    }

    fn hash_of(&self, password: &str) -> Option<Vec<u8>> {
        let (memory, passes, lanes) = self.cost;
        let params = Params::new(memory, passes, lanes, Some(self.hash.len())).ok()?;
        let mut hash = vec![0; self.hash.len()];
        let argon = Argon2::new(self.algorithm, self.version, params);
        argon.hash_password_into(password.as_bytes(), &self.salt, &mut hash).ok()?;
        Some(hash)
    }
}

/// `m=19456,t=2,p=1`
fn cost(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split(',');
    let mut number = |name: &str, most: u32| -> Option<u32> {
        let n = parts.next()?.strip_prefix(name)?.strip_prefix('=')?.parse().ok()?;
        (1..=most).contains(&n).then_some(n)
    };
    let cost = (number("m", MAX_MEMORY)?, number("t", MAX_PASSES)?, number("p", MAX_LANES)?);
    parts.next().is_none().then_some(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by the `argon2` program of the reference implementation (`echo -n password | argon2 somesalt -t 2 -k 256 …`).
    const KNOWN: [&str; 3] = [
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
    ];

    #[tokio::test]
    async fn hashes_of_others() {
        for text in KNOWN {
            let kept = Argon::parse(text).expect(text);
            assert!(kept.clone().matches("password").await, "{text}");
            assert!(!kept.matches("Password").await, "{text}");
        }
    }

    #[tokio::test]
    async fn own_hashes() {
        let kept = Argon::of("secret").expect("a hash");
        assert_eq!(Argon::parse(&kept.text()).as_ref(), Some(&kept));
        assert!(kept.text().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", kept.text());
        assert!(kept.matches("secret").await);
    }

    #[test]
    fn texts_that_are_none() {
        let text = |cost: &str, rest: &str| {
            format!("$argon2id$v=19${cost}$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4{rest}")
        };
        assert!(Argon::parse(&text("m=256,t=2,p=1", "")).is_some());
        for bad in [
            text("m=256,t=2,p=1", "$x"),
            text("m=256,t=2", ""),
            text("m=256,t=2,p=1,k=1", ""),
            text("t=2,m=256,p=1", ""),
            // More than anybody may make the server work.
            text("m=65537,t=2,p=1", ""),
            text("m=256,t=21,p=1", ""),
            text("m=256,t=2,p=0", ""),
            text("m=256,t=2,p=1", "").replace("v=19", "v=20"),
            text("m=256,t=2,p=1", "").replace("argon2id", "argon2x"),
            text("m=256,t=2,p=1", "").replace("c29tZXNhbHQ", "c29t"),
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAA".to_owned(),
            "secret".to_owned(),
            String::new(),
        ] {
            assert_eq!(Argon::parse(&bad), None, "{bad}");
        }
    }
}
