//! The store on disk: opens the folder, recovers, and wires writer, index and readers together.

use crate::{
    Draft, Spool, SpoolError, Stats, Summary,
    ahead::{self, Ahead},
    disk::{Disk, RealDisk},
    draft::{DraftStore, Finished, LargeFile},
    format::{Kind, Record, aux, flag},
    large, read, recover,
    shared::{Commit, Op, Shared, encode_changes},
    writer::Writer,
};
use base_calls::{Change, Content, Envelope, Fut, Progress, QueueId, Queued, Timestamp, codec};
use bytes::Bytes;
use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread::JoinHandle,
};
use tokio::sync::oneshot;

/// Told of each damaged record that was set aside.
pub type OnDamage = Arc<dyn Fn(&Damage) + Send + Sync>;

/// How a [`FileSpool`] works. `Options::default()` is right for a server.
#[derive(Clone)]
pub struct Options {
    /// Size of a segment file in bytes; 0 chooses by the size of the disk.
    pub segment_size: u64,
    /// Content longer than this goes to a file of its own.
    pub large_threshold: usize,
    /// Called for each damaged record that was set aside after the start (those found during the start are in
    /// [`Recovery::damage`]).
    pub on_damage: Option<OnDamage>,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_size: 0, large_threshold: 256 << 10, on_damage: None }
    }
}

/// Segments of a large disk.
const LARGE_SEGMENT: u64 = 16 << 20;
/// Segments of the smallest disk.
const SMALL_SEGMENT: u64 = 1 << 20;
/// A disk holds at least so many segments.
const SEGMENTS: u64 = 64;

impl Options {
    fn for_disk(mut self, dir: &Path) -> Self {
        if self.segment_size == 0 {
            let total = base_sys::disk::space(dir).map_or(u64::MAX, |s| s.total);
            self.segment_size = (total / SEGMENTS).clamp(SMALL_SEGMENT, LARGE_SEGMENT);
        }
        self
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

/// How often a view is taken again because the server recycled a segment meanwhile.
const READ_ATTEMPTS: usize = 10;

/// The queue on disk.
pub struct FileSpool {
    pub(crate) shared: Arc<Shared>,
    recovery: Recovery,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held until closed, so that no second writer starts.
    lock: Mutex<Option<File>>,
}

impl FileSpool {
    /// Opens the spool below `dir` (made if missing) and recovers what is there. Damaged records are set aside in
    /// `corrupt/` and listed in [`FileSpool::recovery`]; they never prevent the start. [`SpoolError::Locked`] when
    /// another process has it open for writing.
    pub fn open(dir: &Path, options: Options) -> Result<Self, SpoolError> {
        Self::open_keeping(dir, options, &HashSet::new())
    }

    /// The same, leaving alone the slots in `kept`, which drafts of another process have (`relay`).
    pub(crate) fn open_keeping(
        dir: &Path,
        options: Options,
        kept: &HashSet<u32>,
    ) -> Result<Self, SpoolError> {
        let disk = RealDisk::new(dir.to_owned(), true)?;
        let lock = lock(&dir.join("lock"))?;
        let spool = Self::open_on(Arc::new(disk), options.for_disk(dir), kept)?;
        *spool.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
        Ok(spool)
    }

    /// Opens a spool on any disk.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        kept: &HashSet<u32>,
    ) -> Result<Self, SpoolError> {
        disk.create_dir("segments")?;
        disk.create_dir("large")?;
        let recovered = recover::recover_keeping(disk.as_ref(), true, kept)?;
        let shared = Arc::new(Shared::new(disk, options, recovered.state, false));
        let mut writer = Writer::new(shared.clone(), recovered.next_generation, recovered.turn);
        for (id, changes) in recovered.orphans {
            let _ = shared.enqueue_change(id, &changes, None);
        }
        shared.again(ahead::left(shared.disk.as_ref(), recovered.turn));
        let behind = !writer.catch_up();
        shared.queue().ahead = Ahead::open(shared.disk.as_ref(), recovered.turn, behind);
        writer.look_at = Some(std::time::Instant::now());
        let thread = std::thread::Builder::new().name("spool".into()).spawn(move || writer.run())?;
        let (writer, lock) = (Mutex::new(Some(thread)), Mutex::default());
        Ok(Self { shared, recovery: recovered.report, writer, lock })
    }

    /// A view of the spool as it is now, beside a running server if there is one. Changes nothing; all methods that
    /// would return [`SpoolError::Closed`].
    pub fn open_read_only(dir: &Path) -> Result<Self, SpoolError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.to_owned(), false)?);
        let mut recovered = recover::recover(disk.as_ref(), false)?;
        for _ in 0..READ_ATTEMPTS {
            if recover::is_current(&recovered.state.segments) {
                break;
            }
            recovered = recover::recover(disk.as_ref(), false)?;
        }
        let shared = Arc::new(Shared::new(disk, Options::default(), recovered.state, true));
        Ok(Self { shared, recovery: recovered.report, writer: Mutex::new(None), lock: Mutex::default() })
    }

    /// What the start found.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }
}

fn lock(path: &Path) -> Result<File, SpoolError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(SpoolError::Locked),
        Err(std::fs::TryLockError::Error(e)) => Err(e.into()),
    }
}

impl DraftStore for Shared {
    fn threshold(&self) -> usize {
        self.options.large_threshold
    }

    fn open_large(&self, id: QueueId) -> Result<Box<dyn LargeFile>, SpoolError> {
        Ok(Box::new(large::Writing::create(self.disk.clone(), id)?))
    }

    fn discard(&self, id: QueueId) {
        self.state().slab.release(id);
    }
}

/// A commit ready for the writer, and the content as the stages get it.
struct Prepared {
    commit: Commit,
    content: Content,
    accepted: Timestamp,
}

/// Encodes and checksums a message on the caller's thread.
fn prepare(
    id: QueueId,
    envelope: &Envelope,
    held: bool,
    small: Bytes,
    large: Option<&dyn LargeFile>,
    done: crate::shared::Answer,
) -> Result<Prepared, SpoolError> {
    let accepted = Timestamp::now();
    let mut prefix = Vec::with_capacity(512);
    prefix.extend_from_slice(&accepted.0.to_le_bytes());
    codec::encode_envelope(envelope, &mut prefix);
    let envelope_len = u32::try_from(prefix.len() - 8).map_err(|_| SpoolError::Full)?;
    let mut flags = if held { flag::HELD } else { 0 };
    let mut content = Content::Memory(small.clone());
    if let Some(large) = large {
        prefix.extend_from_slice(&large::reference(large.len(), large.checksum()));
        flags |= flag::LARGE;
        content = large.content();
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&prefix);
    crc.update(&small);
    let about = Record::about(Kind::Message, id);
    let record = Record {
        flags: about.flags | flags,
        len: u32::try_from(prefix.len() + small.len()).map_err(|_| SpoolError::Full)?,
        crc: crc.finalize(),
        aux: aux(envelope_len, 0),
        ..about
    };
    Ok(Prepared { commit: Commit { id, record, prefix, content: small, done }, content, accepted })
}

impl Shared {
    /// Hands changes to the writer and shows them in the index, in one order for both.
    fn enqueue_change(
        &self,
        id: QueueId,
        changes: &[Change],
        done: Option<crate::shared::Answer>,
    ) -> Result<(), SpoolError> {
        let payload = encode_changes(changes);
        let mut state = self.state();
        let entry = *state.slab.get(id).ok_or(SpoolError::NotFound)?;
        let (flags, retry_at) = read::summarize(entry.flags, entry.retry_at, changes);
        let op = Op::Change { id, payload, flags, retry_at, done };
        self.push(op).map_err(|_| SpoolError::Closed)?;
        state.slab.update(id, flags, retry_at);
        if let Some(entry) = state.slab.get_mut(id) {
            entry.queued = entry.queued.saturating_add(1);
        }
        Ok(())
    }

    /// Hands a removal to the writer; the message is gone from the index.
    fn enqueue_removal(&self, id: QueueId) -> Result<(), SpoolError> {
        if !self.state().slab.dying(id) {
            return Err(SpoolError::NotFound);
        }
        self.push(Op::Remove { id }).map_err(|_| SpoolError::Closed)
    }

    /// Hands the writer what the last process had asked for.
    fn again(&self, noted: Vec<ahead::Noted>) {
        for ahead::Noted { record, payload } in noted {
            let id = record.id();
            // A message that is gone needs neither.
            let _ = match record.kind {
                Kind::Removal => self.enqueue_removal(id),
                _ => match codec::decode_changes(&payload) {
                    Ok(changes) => self.enqueue_change(id, &changes, None),
                    Err(_) => continue,
                },
            };
        }
    }

    fn enqueue(&self, commit: Commit) -> Result<(), SpoolError> {
        let id = commit.id;
        let large = commit.record.flags & flag::LARGE != 0;
        self.push(Op::Commit(Box::new(commit))).map_err(|_| {
            self.abandon(id, large);
            SpoolError::Closed
        })
    }

    /// A commit that never reached the writer leaves no trace.
    fn abandon(&self, id: QueueId, large: bool) {
        self.state().slab.release(id);
        if large {
            self.delete_large(id);
        }
    }

    /// Syncs the content file of a large message on a thread of its own, then enqueues the record.
    fn enqueue_large(
        self: &Arc<Self>,
        mut file: Box<dyn LargeFile>,
        commit: Commit,
    ) -> Result<(), SpoolError> {
        let (shared, id) = (self.clone(), commit.id);
        let work = move || match file.sync() {
            Ok(()) => drop(shared.enqueue(commit)),
            Err(e) => {
                shared.abandon(commit.id, true);
                let _ = commit.done.send(Err(e));
            }
        };
        std::thread::Builder::new().name("spool-large".into()).spawn(work).map(drop).map_err(|e| {
            self.abandon(id, true);
            e.into()
        })
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Fut<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Spool for FileSpool {
    fn draft(&self, long_id: bool) -> Result<Draft, SpoolError> {
        if self.shared.queue().closed {
            return Err(SpoolError::Closed);
        }
        let id = self.shared.state().slab.reserve(long_id, Timestamp::now()).ok_or(SpoolError::Full)?;
        Ok(Draft::new(id, self.shared.clone()))
    }

    fn commit<'a>(
        &'a self,
        draft: Draft,
        envelope: Envelope,
        held: bool,
    ) -> Fut<'a, Result<Arc<Queued>, SpoolError>> {
        Box::pin(async move {
            let id = draft.id();
            let (done, answer) = oneshot::channel();
            let (content, accepted) = match draft.finish() {
                Finished::Small(bytes) => {
                    let Prepared { commit, content, accepted } =
                        prepare(id, &envelope, held, bytes, None, done)
                            .inspect_err(|_| self.shared.abandon(id, false))?;
                    self.shared.enqueue(commit)?;
                    (content, accepted)
                }
                Finished::Large(file) => {
                    let prepared = prepare(id, &envelope, held, Bytes::new(), Some(file.as_ref()), done);
                    let Prepared { commit, content, accepted } =
                        prepared.inspect_err(|_| self.shared.abandon(id, true))?;
                    self.shared.enqueue_large(file, commit)?;
                    (content, accepted)
                }
            };
            answer.await.unwrap_or(Err(SpoolError::Closed))?;
            Ok(Arc::new(Queued { id, envelope, content, accepted }))
        })
    }

    fn change<'a>(
        &'a self,
        id: QueueId,
        changes: Vec<Change>,
        sync: bool,
    ) -> Fut<'a, Result<(), SpoolError>> {
        if !sync {
            return ready(self.shared.enqueue_change(id, &changes, None));
        }
        let (done, answer) = oneshot::channel();
        match self.shared.enqueue_change(id, &changes, Some(done)) {
            Ok(()) => Box::pin(async { answer.await.unwrap_or(Err(SpoolError::Closed)) }),
            Err(e) => ready(Err(e)),
        }
    }

    fn remove<'a>(&'a self, id: QueueId) -> Fut<'a, Result<(), SpoolError>> {
        if self.shared.queue().closed {
            return ready(Err(SpoolError::Closed));
        }
        ready(self.shared.enqueue_removal(id))
    }

    fn load<'a>(&'a self, id: QueueId) -> Fut<'a, Result<(Arc<Queued>, Progress), SpoolError>> {
        Box::pin(async move {
            let queued = self.shared.state().slab.get(id).ok_or(SpoolError::NotFound)?.queued;
            if queued > 0 {
                let (done, answer) = oneshot::channel();
                if self.shared.push(Op::Barrier(done)).is_ok() {
                    let _ = answer.await;
                }
            }
            self.shared.load(id)
        })
    }

    fn find(&self, text: &str) -> Option<QueueId> {
        let parsed = QueueId::parse(text)?;
        self.shared.state().slab.at(parsed.slot).filter(|id| parsed.names(id))
    }

    fn list(&self, from_slot: u32, max: usize) -> Vec<Summary> {
        self.shared.state().slab.list(from_slot, max)
    }

    fn stats(&self) -> Stats {
        let state = self.shared.state();
        let (live_bytes, segment_bytes) = state.segments.bytes();
        Stats {
            messages: state.slab.live,
            held: state.slab.held,
            segments: state.segments.used.len() as u64,
            free_segments: state.segments.spare.len() as u64,
            live_bytes,
            segment_bytes,
            syncs: self.shared.syncs.load(Ordering::Relaxed),
            committed: self.shared.committed.load(Ordering::Relaxed),
        }
    }

    fn close(&self) {
        self.shared.close();
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for FileSpool {
    fn drop(&mut self) {
        self.close();
    }
}
