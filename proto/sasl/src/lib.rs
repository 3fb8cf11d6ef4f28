//! SASL without sockets (RFC 4422): what mechanisms are good for, which of them an administrator allows, and how they go.
//!
//! base/sasl asks the servers that know passwords, mail/receive and mail/deliver speak AUTH; both use these
//! types. What a peer sends that makes no sense is a value, never a panic.

pub mod client;
mod digest;
mod hash;
mod options;
pub mod server;

pub use hash::{Sha, same};
pub use options::{BadOption, Mechanism, Properties, Security};
