//! The server's side of mechanisms, for implementations that know passwords themselves.
//!
//! One file per mechanism in `server/`; [`MECHANISMS`] is the registry. An exchange asks for what it needs ([`Step::Verify`],
//! [`Step::Secret`]) and never sees a database. What a client sends that makes no sense is a failure, as is a wrong proof.

mod challenge;
mod plain;
mod scram;

use crate::hash::Sha;
use std::num::NonZeroU32;

/// What the server says and asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this to the client.
    Challenge(Vec<u8>),
    /// Is this the user's password? [`Exchange::verified`] takes the answer.
    Verify {
        /// As the client gave it.
        user: String,
        /// The password.
        password: String,
    },
    /// What is known of the user? [`Exchange::secret`] takes the answer.
    Secret {
        /// As the client gave it.
        user: String,
    },
    /// The client is who it says.
    Success {
        /// As the client gave it.
        user: String,
    },
    /// The client is who it says, and wants to act as another user: nobody may.
    Foreign {
        /// The other user.
        user: String,
    },
    /// It is not, or makes no sense.
    Failure {
        /// As far as it is known.
        user: Option<String>,
    },
}

/// What a database knows of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// The password as it is.
    Password(String),
    /// What SCRAM keeps of it.
    Scram(ScramSecret),
}

/// `StoredKey` and `ServerKey` of RFC 5802.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramSecret {
    /// Of which digest.
    pub sha: Sha,
    /// How often it was salted.
    pub iterations: NonZeroU32,
    /// With what.
    pub salt: Vec<u8>,
    /// H(ClientKey).
    pub stored_key: Vec<u8>,
    /// ServerKey.
    pub server_key: Vec<u8>,
}

impl ScramSecret {
    /// Of a password.
    pub fn new(sha: Sha, password: &str, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let salted = sha.salted(password.as_bytes(), &salt, iterations);
        Self {
            sha,
            iterations,
            stored_key: sha.digest(&sha.hmac(&salted, b"Client Key")),
            server_key: sha.hmac(&salted, b"Server Key"),
            salt,
        }
    }

    /// Whether it was made from this password.
    pub fn is_of(&self, password: &str) -> bool {
        let other = Self::new(self.sha, password, self.salt.clone(), self.iterations);
        crate::hash::same(&other.stored_key, &self.stored_key)
    }
}

/// What an exchange must know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scene {
    /// Our host name.
    pub host: String,
    /// The realm of names without one.
    pub realm: String,
    /// Random text that nobody has used before.
    pub nonce: String,
    /// For CRAM-MD5's challenge: seconds since 1970.
    pub now: u64,
    /// Random, the same for all exchanges of a process: makes SCRAM's salts for users whose salt is not kept, so that they
    /// do not tell who exists.
    pub key: [u8; 32],
}

/// A mechanism in progress.
pub trait Exchange: Send {
    /// The client's response; the first time `None` when it sent none with the command.
    fn response(&mut self, response: Option<&[u8]>) -> Step;

    /// The answer to [`Step::Verify`].
    fn verified(&mut self, right: bool) -> Step {
        let _ = right;
        Step::Failure { user: None }
    }

    /// The answer to [`Step::Secret`].
    fn secret(&mut self, secret: Option<Secret>) -> Step {
        let _ = secret;
        Step::Failure { user: None }
    }
}

type Start = fn(Scene) -> Box<dyn Exchange>;

/// Names and beginnings, sorted by name.
pub const MECHANISMS: &[(&str, Start)] = &[
    ("CRAM-MD5", challenge::cram_md5),
    ("DIGEST-MD5", challenge::digest_md5),
    ("LOGIN", plain::login),
    ("PLAIN", plain::plain),
    ("SCRAM-SHA-1", |s| scram::start(s, Sha::One)),
    ("SCRAM-SHA-256", |s| scram::start(s, Sha::Two256)),
];

/// Begins an exchange; `None` for a mechanism that is not known here.
pub fn start(mechanism: &str, scene: Scene) -> Option<Box<dyn Exchange>> {
    let (_, start) = MECHANISMS.iter().find(|(n, _)| n.eq_ignore_ascii_case(mechanism))?;
    Some(start(scene))
}

#[cfg(test)]
#[path = "both_tests.rs"]
mod tests;
