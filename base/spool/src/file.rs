//! The store on disk: opens the folder, recovers, and wires writer, index and readers together.

use crate::{Draft, Spool, SpoolError, Stats, Summary};
use base_calls::{Change, Envelope, Fut, Progress, QueueId, Queued};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// How a [`FileSpool`] works. `Options::default()` is right for a server.
#[derive(Clone)]
pub struct Options {
    /// Size of a segment file in bytes.
    pub segment_size: u64,
    /// Content longer than this goes to a file of its own.
    pub large_threshold: usize,
    /// Called for each damaged record that was set aside after the start (those found during the start are in
    /// [`Recovery::damage`]).
    pub on_damage: Option<Arc<dyn Fn(&Damage) + Send + Sync>>,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_size: 16 << 20, large_threshold: 256 << 10, on_damage: None }
    }
}

/// A damaged record that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The message, when that is still readable.
    pub id: Option<QueueId>,
    /// Where the bytes are now.
    pub file: PathBuf,
    /// What is wrong with them.
    pub reason: String,
}

/// What a start found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Live messages.
    pub messages: u64,
    /// Bytes of batches that were never acknowledged because the machine stopped while they were written.
    pub torn_bytes: u64,
    /// What was set aside.
    pub damage: Vec<Damage>,
}

/// The queue on disk.
pub struct FileSpool {}

impl FileSpool {
    /// Opens the spool below `dir` (made if missing) and recovers what is there. Damaged records are set aside in
    /// `corrupt/` and listed in [`FileSpool::recovery`]; they never prevent the start.
    pub fn open(_dir: &Path, _options: Options) -> Result<Self, SpoolError> {
        todo!()
    }

    /// A view of the spool as it is now, beside a running server if there is one. Changes nothing.
    pub fn open_read_only(_dir: &Path) -> Result<Self, SpoolError> {
        todo!()
    }

    /// What the start found.
    pub fn recovery(&self) -> &Recovery {
        todo!()
    }
}

impl Spool for FileSpool {
    fn draft(&self, _long_id: bool) -> Result<Draft, SpoolError> {
        todo!()
    }
    fn commit<'a>(
        &'a self,
        _draft: Draft,
        _envelope: Envelope,
        _held: bool,
    ) -> Fut<'a, Result<Arc<Queued>, SpoolError>> {
        todo!()
    }
    fn change<'a>(&'a self, _: QueueId, _: Vec<Change>, _: bool) -> Fut<'a, Result<(), SpoolError>> {
        todo!()
    }
    fn remove<'a>(&'a self, _: QueueId) -> Fut<'a, Result<(), SpoolError>> {
        todo!()
    }
    fn load<'a>(&'a self, _: QueueId) -> Fut<'a, Result<(Arc<Queued>, Progress), SpoolError>> {
        todo!()
    }
    fn find(&self, _: &str) -> Option<QueueId> {
        todo!()
    }
    fn list(&self, _: u32, _: usize) -> Vec<Summary> {
        todo!()
    }
    fn stats(&self) -> Stats {
        todo!()
    }
    fn close(&self) {
        todo!()
    }
}
