//! Who sent it: SPF, DKIM, DMARC, ARC and SRS (extensions; docs/extensions.md).
//!
//! [`examine`] judges a whole message, [`spf::check`] a client before the content comes. Signatures are made by [`dkim::sign`] and
//! [`arc::seal`]. A message is read as a stream: memory depends on its header section, which is bounded, and not on its body. DNS is asked
//! through [`lookup::Dns`], which the shared resolver implements; each method bounds how often. Nothing here fails: what cannot be
//! found out is a result.

pub mod arc;
mod canonical;
pub mod dkim;
pub mod dmarc;
mod examine;
pub mod fuzz;
pub mod keys;
pub mod lookup;
mod results;
mod section;
pub mod spf;
pub mod srs;
mod tags;

pub use canonical::Canon;
pub use examine::{Methods, Question, body_hash, examine};
pub use results::{Findings, MethodResult, claims_to_be};
pub use section::{Section, Unreadable};
