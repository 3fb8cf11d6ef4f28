//! The durable queue on disk.
//!
//! Called by cleanup (new messages), the scheduler (changes, removals, reading back) and the queue tools. A commit that
//! returned `Ok` survives `kill -9` at any instant and loss of power; one that returned an error leaves nothing that a
//! later start would deliver, unless the process died before it could answer. Nothing here ends the process: a full disk is
//! [`SpoolError::Full`], a broken one [`SpoolError::Io`], and the spool works again when the disk does.
//!
//! # On disk
//!
//! Below [`directory`] (0700): `segments/NNNNNNNN.seg`, `large/TIME-SLOT`, `corrupt/`, `ahead`, `lock`. A segment is a header of 4096
//! bytes and records after it (`format`): messages (envelope, content), changes of a message (linked to its previous change),
//! removals. One thread (`writer`) appends; a *batch* is everything that waited while the previous sync ran, and the next batch is not
//! written before this one is synced. What it has not written yet of changes and removals is in the mapped file `ahead`, for the start after
//! a kill. Content over [`Options::large_threshold`] is a file in `large/`. Nothing is ever
//! overwritten while it counts.
//!
//! ## States of a message, and what moves it on
//!
//! | state | on disk | system calls to the next state | a kill or power loss in between leaves |
//! |---|---|---|---|
//! | M0 draft, small | nothing | `write` of the batch | nothing, or an unacknowledged record: M1 or M2 |
//! | M0 draft, large | `large/x`, growing | `write`s, `fdatasync` of the file, `fsync` of `large/`, then as above | a file without record: deleted at the start |
//! | M1 written | record in an unsynced batch | `fdatasync` of the segment | whole: M2 (nobody was told; it may be sent again by the client); torn: cut off |
//! | M2 durable | record under a synced batch | the caller is told `Ok`, the index shows it | M2 |
//! | M3 changed | M2 and change records | store in `ahead`; `write`; `fdatasync` at once (`sync`) or within a second | a kill: nothing is missing; power loss: the newest changes that were not synced, from the end |
//! | M4 removal written | M3 and a removal in `ahead`, then a removal record | `fdatasync` at once or within a second | a kill: M5; power loss: M3 (delivered again) or M5 |
//! | M5 removed | the removal is durable | `unlink` of `large/x`, if any | M5; a left-over file is deleted at the start |
//! | M6 gone | its segment is free | – | – |
//!
//! A message that compaction moves is in M2..M3 twice: the copy carries the folded changes and is durable before the old
//! segment may go; the start takes the newer one. Its id is the same, so it is never there twice.
//!
//! ## States of a segment file
//!
//! | state | header | system calls to the next state | a kill or power loss in between leaves |
//! |---|---|---|---|
//! | S0 made | zeros | `create`, `write` of zeros, `fsync` of `segments/` | a file of zeros or none: spare |
//! | S1 spare | zeros or generation 0 | `write` of the header with a new generation; synced together with its first batch | S1, or S2 without records |
//! | S2 current | generation g, no index | appends (space is written with zeros before, 1 MiB at a time) | S2: read record by record |
//! | S3 closed | g, no index | `write` of index, then of the header that points to it; not synced, both carry checksums | S3: read record by record |
//! | S4 sealed | g, index | – | S4: only the index is read |
//! | S5 dead | as S3, S4; no live record, and no removal whose message is in a segment in use | `write` of generation 0, `fdatasync` | S4 (found dead again) or S1 |
//! | SF failed | as S2; a write or sync failed | everything alive moves on (compaction), `unlink`, `fsync` of `segments/` | SF without index, read record by record; newer segments stay until it is gone |
//!
//! Only after a segment's S5 -> S1 is durable may the segments that hold removals of its messages die in turn; otherwise a
//! stop would bring the messages back. A failed `fdatasync` is never tried again: the segment is SF, the commits of the batch
//! are refused and *buried* (a removal in the next segment), its changes and removals are written again there.
//!
//! ## A full disk
//!
//! Space is allocated before a record is promised, so a full disk refuses commits and nothing else. One segment of
//! 1 MiB is kept as a reserve for changes and removals: deliveries continue, empty segments and unlinked files make room, and
//! commits work again.
//!
//! ## Damage
//!
//! A start drops a torn batch silently ([`Recovery::torn_bytes`]): it is the last one of its segment and was never
//! acknowledged. What was durable once and is damaged now is copied to `corrupt/` and reported ([`Damage`]), at the start
//! for unsealed segments and at [`Spool::load`] for the others. The rest of the queue is not affected.
//!
//! The tests in `crash_tests` stop the writer before every system call, by a kill and by power loss (any subset of the unsynced
//! sectors and names survives), fail every single write and sync, fill the disk, and flip bits.
//!
//! # Passing it on
//!
//! A server that is replaced gives its spool to its successor and goes on with the sessions that it has: [`Relay`]. There is one
//! writer at any time.
//!
//! # Memory
//!
//! 40 bytes for each live message (`slab`), a few hundred for each segment file, and what is being written.

mod ahead;
mod batch;
mod compact;
#[cfg(test)]
mod crash_tests;
mod disk;
mod draft;
mod error;
mod file;
mod format;
pub mod fuzz;
mod large;
mod maildrop;
mod memory;
mod read;
mod reclaim;
mod recover;
mod relay;
mod segments;
mod shared;
#[cfg(test)]
mod sim;
mod slab;
#[cfg(test)]
mod tests;
mod writer;

pub use draft::Draft;
pub use error::SpoolError;
pub use file::{Damage, FileSpool, OnDamage, Options, Recovery};
pub use maildrop::list_maildrop;
pub use memory::MemorySpool;
pub use relay::{Heritage, Relay, Successor};

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
    fn change<'a>(&'a self, id: QueueId, changes: Vec<Change>, sync: bool)
    -> Fut<'a, Result<(), SpoolError>>;

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
