//! The durable queue on disk.
//!
//! (The table of on-disk states is being written.)

mod compact;
mod disk;
mod draft;
mod error;
mod file;
mod format;
mod large;
mod memory;
mod read;
mod reclaim;
mod recover;
mod segments;
mod shared;
mod slab;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
mod writer;

pub use draft::Draft;
pub use error::SpoolError;
pub use file::{Damage, FileSpool, Options, Recovery};
pub use memory::MemorySpool;

use base_calls::{Change, Envelope, Fut, Progress, QueueId, Queued, Timestamp};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where a spool lives below `queue_directory`. The worker and the tools agree on it by calling this.
pub fn directory(queue_directory: &Path) -> PathBuf {
    queue_directory.join("spool")
}

/// The queue: [`FileSpool`] on disk, [`MemorySpool`] for tests.
///
/// All methods may be called from any thread. The futures do not block the runtime; they need no particular one.
pub trait Spool: Send + Sync {
    /// Starts a message: allocates its [`QueueId`]. Nothing is durable before [`Spool::commit`]; dropping the draft
    /// leaves no trace.
    fn draft(&self, long_id: bool) -> Result<Draft, SpoolError>;

    /// Makes the message durable. Resolves when it is on disk; only then may anybody be told that it was accepted.
    /// On an error nothing is kept and the sender must be told to try again.
    fn commit<'a>(
        &'a self,
        draft: Draft,
        envelope: Envelope,
        held: bool,
    ) -> Fut<'a, Result<Arc<Queued>, SpoolError>>;

    /// Records what happened to a message. `sync`: resolves when on disk; else it resolves at once and the record goes
    /// out with the next batch, within milliseconds (lost only by loss of power within about a second).
    fn change<'a>(&'a self, id: QueueId, changes: Vec<Change>, sync: bool) -> Fut<'a, Result<(), SpoolError>>;

    /// Removes a message: it is gone from the index at once, and from the disk with the next batch. Works while the
    /// disk is full.
    fn remove<'a>(&'a self, id: QueueId) -> Fut<'a, Result<(), SpoolError>>;

    /// Reads a message and replays its changes. The content of a small message is in memory, that of a large one a
    /// file; both stay readable when the message is removed meanwhile. A damaged message is set aside (see
    /// [`Options::on_damage`]), forgotten, and [`SpoolError::Corrupt`] returned.
    fn load<'a>(&'a self, id: QueueId) -> Fut<'a, Result<(Arc<Queued>, Progress), SpoolError>>;

    /// The live message with this printed id.
    fn find(&self, text: &str) -> Option<QueueId>;

    /// At most `max` live messages from `from_slot` on, in slot order. The next page starts at the last slot + 1.
    /// Straight from the index: nothing is read from disk.
    fn list(&self, from_slot: u32, max: usize) -> Vec<Summary>;

    /// Counts.
    fn stats(&self) -> Stats;

    /// Writes out everything, syncs, and stops. Later calls return [`SpoolError::Closed`].
    fn close(&self);
}

/// A message as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub id: QueueId,
    /// On hold.
    pub held: bool,
    /// No attempt before this (whole seconds, rounded up); zero when none was made.
    pub retry_at: Timestamp,
    /// `postsuper -e`/`-f`: `Some(true)` also when held.
    pub expired: Option<bool>,
    /// Some attempt was deferred, or some other change was recorded.
    pub changed: bool,
}

/// Counts of a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Live messages.
    pub messages: u64,
    /// Of these, on hold.
    pub held: u64,
    /// Segment files in use.
    pub segments: u64,
    /// Segment files waiting to be reused.
    pub free_segments: u64,
    /// Bytes of live records.
    pub live_bytes: u64,
    /// Bytes of segment files in use.
    pub segment_bytes: u64,
    /// Syncs issued since the start.
    pub syncs: u64,
    /// Messages committed since the start.
    pub committed: u64,
}
