//! Filters that see a whole message before it is accepted (milters), and what they may do to it.
//!
//! base/milter implements [`Filters`]; cleanup implements [`Filtered`] over the message in the spool. Neither knows the other.

use crate::{Content, Fut};
pub use proto_milter::{Edit, Verdict};

/// The filters of one client connection.
pub trait Filters: Send + Sync {
    /// Shows them the message; changes are made through it. The verdict is about the whole message.
    fn message<'a>(&'a self, message: &'a mut dyn Filtered) -> Fut<'a, Verdict>;
}

/// Tells the log a warning.
pub type WarnLog = Box<dyn Fn(&str) + Send + Sync>;

/// A message that can be read and changed.
pub trait Filtered: Send {
    /// Its queue id.
    fn queue_id(&self) -> String;

    /// What it is now; stays readable while changes are made.
    fn content(&self) -> Content;

    /// Where warnings about filters go.
    fn log(&self) -> WarnLog;

    /// Notes a change.
    fn edit(&mut self, edit: Edit) -> Fut<'_, ()>;

    /// Makes the changes that were noted. `Some`: the message is refused for them.
    fn finish_edits(&mut self) -> Fut<'_, Option<Verdict>>;
}
