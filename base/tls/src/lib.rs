//! TLS for servers and clients behind one small interface (TLS_README). Nobody else reads certificates and keys.
//!
//! [`Server`] and [`Connector`] hold what main.cf says, read certificates when they are needed and again when their files
//! have changed, and turn a connection into an encrypted one with a [`Session`] that tells what was agreed. A handshake never
//! judges the peer: its certificate is accepted as it is, and the caller asks [`Session::peer`] whether it is
//! trusted, and decides. That is how opportunistic TLS works, and what Postfix logs.
//! Libraries that shake hands themselves get their configuration from [`library_config`].
//! Errors are in OpenSSL's words, since log filters know them. Limits: TLS 1.2 and 1.3 only, no DHE, no static RSA, no DSA.

mod anchors;
mod ca;
mod certs;
mod client;
mod digest;
mod keys;
mod library;
mod names;
mod options;
mod problem;
mod server;
mod session;
mod signing;
mod stamp;
mod trust;
mod verifier;

pub use anchors::{AnchorFiles, TrustAnchors};
pub use ca::Authorities;
pub use certs::Certificate;
pub use client::{ClientReady, Connector, ConnectorOptions, Target};
pub use digest::{Digest, UnknownDigest};
pub use keys::{Files, KeyFiles};
pub use library::{Check, library_config};
pub use options::{Handshakes, protocols};
pub use problem::{Failure, Problem};
pub use server::{Ready, Server, ServerOptions, Sni, SniMaps};
pub use session::{Peer, Session};
pub use trust::Trust;

#[cfg(test)]
mod tests;
