//! What tests of the whole server are made of.
//!
//! - [`scenario`]: the text format of e2e/scenarios
//! - [`world`]: private namespaces in which Debian's Postfix or ours runs with the same paths, users and ports
//! - [`client`], [`services`], [`dns`], [`logs`]: a scripted SMTP client, scripted peers, a name server, the log socket
//! - [`normal`]: what may differ between two runs is made the same
//!
//! Everything stays on addresses of a network namespace of its own and ends with its process namespace.

pub mod client;
pub mod dns;
pub mod logs;
pub mod normal;
pub mod scenario;
pub mod services;
pub mod tls;
pub mod world;

/// Which implementation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Debian's Postfix.
    Theirs,
    /// Hikyaku.
    Ours,
}

impl Side {
    /// As in `MTA_UNDER_TEST`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Theirs => "theirs",
            Self::Ours => "ours",
        }
    }
}
