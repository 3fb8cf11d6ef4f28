//! The SMTP and LMTP client behind smtp(8) and lmtp(8).
//!
//! A delivery walks the hosts of its next hops in order: [`nexthop`] reads the text, [`hosts`] asks DNS ([`srv`] for services), [`session`]
//! connects and says hello, [`transfer`] runs the transaction, [`attempt`] decides what to do about refusals, and
//! [`tls`] and [`proof`] say how private the line must be and [`secure`] makes it so, [`sasl`] logs in,
//! [`pool`] keeps open sessions for the next delivery. The protocol itself is `proto_smtp::client`. smtp(8), lmtp(8).

mod attempt;
mod checks;
mod config;
mod dane;
mod feature_status;
mod finger;
mod generic;
mod hosts;
mod nexthop;
mod oauth;
mod pix;
mod pool;
mod proof;
mod requiretls;
mod resolver;
mod sasl;
mod secure;
mod session;
mod srv;
mod sts;
mod texts;
mod tls;
mod tls_reports;
mod transfer;
mod xforward;

#[cfg(test)]
mod attempt_tests;

pub(crate) use attempt::Client;
pub(crate) use config::Dialect;
pub use finger::{Request as FingerRequest, finger};
