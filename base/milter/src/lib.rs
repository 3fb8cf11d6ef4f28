//! Milters: connections to mail filters, the chain of them, and their configuration (MILTER_README, postconf(5) `milter_*`).
//!
//! mail/receive makes a [`Chain`] for a connection and tells it of commands; mail/cleanup runs it over the whole message, and
//! makes one of its own for mail that did not come by SMTP. Every wait has a time limit; a filter that fails in any way is not asked
//! again in this session, and its default action stands in for it. Memory per message is bounded by a piece of body, the header
//! section, and the changes asked for ([`MAX_EDITS`]).

mod chain;
mod link;
mod message;
mod settings;

pub use chain::{Chain, Shared};
pub use message::MAX_EDITS;
pub use proto_milter::{Edit, Event, Family, Verdict};
pub use settings::{Lists, Settings};
