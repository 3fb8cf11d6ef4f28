//! The client's side of mechanisms: what to say to a server that knows us.
//!
//! One file per mechanism in `client/`; [`MECHANISMS`] is the registry, strongest first. Challenges come decoded and are bounded by
//! the caller; one that makes no sense is a [`Nonsense`]. A server that fails to prove that it knows the password is one, too.

mod bearer;
mod cram_md5;
mod digest_md5;
mod login;
mod plain;
mod scram;

pub(crate) use scram::attribute as scram_attribute;

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// Login name.
    pub user: String,
    /// Password, or token.
    pub password: String,
    /// Send the name also as the one to act as (`send_cyrus_sasl_authzid`).
    pub authzid: bool,
    /// Host name of the server.
    pub host: String,
    /// `smtp` or `lmtp`.
    pub service: String,
    /// Random text that nobody has used before.
    pub nonce: String,
}

/// The server's challenge makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's challenge makes no sense")]
pub struct Nonsense;

/// A mechanism in progress.
pub trait Exchange: Send {
    /// What can be said before the server has said anything.
    fn initial(&mut self) -> Option<Vec<u8>>;

    /// The answer to a challenge.
    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Nonsense>;
}

type Start = fn(Credentials) -> Box<dyn Exchange>;

/// Names and beginnings. Tokens come last: a password is no token, so who has one allows nothing else
/// (`smtp_sasl_mechanism_filter`).
pub const MECHANISMS: &[(&str, Start)] = &[
    ("SCRAM-SHA-512", |c| scram::start(c, crate::hash::Sha::Two512)),
    ("SCRAM-SHA-256", |c| scram::start(c, crate::hash::Sha::Two256)),
    ("SCRAM-SHA-1", |c| scram::start(c, crate::hash::Sha::One)),
    ("DIGEST-MD5", digest_md5::start),
    ("CRAM-MD5", cram_md5::start),
    ("PLAIN", plain::start),
    ("LOGIN", login::start),
    ("OAUTHBEARER", bearer::oauthbearer),
    ("XOAUTH2", bearer::xoauth2),
];

/// Begins an exchange; `None` for a mechanism that is not known here.
pub fn start(mechanism: &str, credentials: Credentials) -> Option<Box<dyn Exchange>> {
    let (_, start) = MECHANISMS.iter().find(|(n, _)| n.eq_ignore_ascii_case(mechanism))?;
    Some(start(credentials))
}
