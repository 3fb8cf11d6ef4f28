//! The Milter protocol, versions 2 to 6, seen from the mail server (libmilter's documentation, MILTER_README). No IO.
//!
//! - [`Event`]: what a filter is told, [`Answer`]: what it says, [`Edit`]: what it wants changed; both as packets.
//! - [`Offer`] and [`Agreed`]: option negotiation at the start of a connection.
//! - [`Session`]: where one filter stands in connection and message: what to send it, and what its answers mean.
//!
//! Used by base/milter, which owns the sockets. A packet that makes no sense is a [`BadPacket`]; nothing panics, and lengths are
//! bounded by [`MAX_PACKET`].

mod answer;
mod event;
mod negotiate;
mod session;

pub use answer::{Answer, Edit, check, parse};
pub use event::{Event, Family, MacroStage, packet};
pub use negotiate::{Agreed, Offer, steps};
pub use session::{Next, Session, Verdict};

/// Longest packet taken from a filter, in bytes.
pub const MAX_PACKET: usize = 1 << 20;

/// Longest piece of a body in one packet.
pub const BODY_CHUNK: usize = 65_535;

/// A packet that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPacket(pub &'static str);
