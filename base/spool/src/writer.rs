//! The writer thread: the only one that appends, syncs, and decides what becomes of segments.
//!
//! Each turn takes all operations that wait, appends their records to the current segment with one write, and, when
//! anybody waits for one of them (or a second has passed), makes them durable with one fdatasync. While that runs the next
//! batch gathers. Only after the sync are callers answered and is the index brought up to date. When a write or a sync
//! fails, the segment gets no more records and is emptied later; commits of that batch are refused and buried (a
//! removal record in the next segment), everything else is written again there.

use crate::{
    SpoolError,
    batch::{Current, Written, place},
    compact::Compaction,
    format::{FIRST_RECORD, Place, RECORD_HEADER, align, flag},
    reclaim,
    shared::{Op, Shared, State},
    slab::Entry,
};
use base_calls::QueueId;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long operations that nobody waits for may wait for company.
const LINGER: Duration = Duration::from_millis(2);
/// How long a written record that nobody waits for may stay unsynced.
const LAZY_SYNC: Duration = Duration::from_secs(1);
/// Most bytes of one batch (a bigger message makes a batch of its own).
const BATCH_BYTES: usize = 4 << 20;
/// Most records of a segment: bounds its index.
const SEGMENT_RECORDS: usize = 1 << 16;
/// How long commits are refused at once after the disk failed or was found full.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 2 } else { 200 });
/// How long to wait after a failure before the rest is tried again.
const RETRY: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 20 });

/// The state of the writer thread.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) current: Option<Current>,
    /// Operations to be written, in order.
    pub(crate) pending: VecDeque<Op>,
    unsynced: Vec<Written>,
    dirty_since: Option<Instant>,
    buffer: Vec<u8>,
    pub(crate) refuse_until: Option<(Instant, SpoolError)>,
    retry_at: Option<Instant>,
    /// Batches that failed since the last one that did not.
    failures: u32,
    pub(crate) compaction: Option<Compaction>,
    /// When to look next whether segments are worth compacting.
    pub(crate) look_at: Option<Instant>,
    pub(crate) to_fold: Vec<QueueId>,
    pub(crate) next_generation: u64,
    /// Goes into every record, see `ahead`.
    pub(crate) turn: u16,
    /// Operations could not be written, they wait longer than for their turn.
    behind: bool,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, next_generation: u64, turn: u16) -> Self {
        Self {
            shared,
            current: None,
            pending: VecDeque::new(),
            unsynced: Vec::new(),
            dirty_since: None,
            buffer: Vec::new(),
            refuse_until: None,
            retry_at: None,
            failures: 0,
            compaction: None,
            look_at: None,
            to_fold: Vec::new(),
            next_generation,
            turn,
            behind: false,
        }
    }

    /// Writes what was handed over before it runs; whether that could be done.
    pub(crate) fn catch_up(&mut self) -> bool {
        self.pending.extend(std::mem::take(&mut self.shared.queue().ops));
        self.write_pending();
        self.behind = !self.pending.is_empty();
        !self.behind
    }

    /// Runs until the spool is closed.
    pub(crate) fn run(mut self) {
        loop {
            let taken = self.shared.next(self.idle_limit(), LINGER, self.behind);
            let closing = taken.closing;
            self.turn = taken.turn;
            self.pending.extend(taken.ops);
            self.turn(closing);
            if closing && (self.pending.is_empty() || self.retry_at.is_some()) {
                break;
            }
        }
        self.seal();
        self.shared.end(self.pending.is_empty());
    }

    /// How long to sleep when nobody asks for anything.
    fn idle_limit(&self) -> Option<Duration> {
        if self.pending.is_empty() && (self.compaction.is_some() || !self.to_fold.is_empty()) {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let sync = self.dirty_since.map(|since| since + LAZY_SYNC);
        let limit = [sync, self.retry_at, self.look_at].into_iter().flatten().min()?;
        Some(limit.saturating_duration_since(now).max(Duration::from_millis(1)))
    }

    fn turn(&mut self, closing: bool) {
        if self.retry_at.is_none_or(|at| at <= Instant::now()) || closing {
            self.retry_at = None;
            self.write_pending();
            self.behind = !self.pending.is_empty();
        } else {
            self.refuse_commits();
        }
        if self.is_sync_due(closing) {
            self.sync();
        }
        self.reclaim();
        if self.pending.is_empty() && !closing {
            self.compact_step();
        }
    }

    fn is_sync_due(&self, closing: bool) -> bool {
        let late = self.dirty_since.is_some_and(|since| since.elapsed() >= LAZY_SYNC);
        !self.unsynced.is_empty() && (closing || late || self.unsynced.iter().any(|w| w.op.is_urgent()))
    }

    /// Writes everything that waits, batch after batch; syncs those that somebody waits for.
    pub(crate) fn write_pending(&mut self) {
        while !self.pending.is_empty() {
            if self.refuse_until.as_ref().is_some_and(|(until, _)| *until > Instant::now()) {
                self.refuse_commits();
            }
            match self.write_batch() {
                Ok(true) => {}
                Ok(false) => return,
                Err(e) => self.fail(e),
            }
            if self.retry_at.is_some() {
                return;
            }
            if self.unsynced.iter().any(|w| w.op.is_urgent()) {
                self.sync();
            }
        }
    }

    /// Refuses the commits that wait while the disk is full or broken.
    fn refuse_commits(&mut self) {
        let Some((_, why)) = &self.refuse_until else { return };
        let why = why.copy();
        let (commits, rest): (VecDeque<Op>, VecDeque<Op>) =
            self.pending.drain(..).partition(|op| matches!(op, Op::Commit(_)));
        self.pending = rest;
        for op in commits {
            let Op::Commit(commit) = op else { continue };
            if commit.record.flags & flag::LARGE != 0 {
                self.shared.delete_large(commit.id);
            }
            self.shared.state().slab.release(commit.id);
            let _ = commit.done.send(Err(why.copy()));
        }
    }

    /// Commits are refused for a moment, so that a full or broken disk is not asked for each of them.
    fn refuse_for_now(&mut self, why: SpoolError) {
        self.refuse_until = Some((Instant::now() + PAUSE, why));
        self.refuse_commits();
    }

    /// Writes the next batch. `Ok(false)`: there is no room for what is left, it waits.
    fn write_batch(&mut self) -> Result<bool, SpoolError> {
        let crowded = self.is_crowded();
        let messages = self.pending.iter().any(|op| match op {
            Op::Commit(_) => true,
            // On a full disk moving makes room: the reserve may be used.
            Op::Move { .. } => !crowded,
            _ => false,
        });
        let limit = (BATCH_BYTES as u64).min(self.shared.options.segment_size - FIRST_RECORD);
        let mut wanted = self.batch_size(limit);
        if !self.fits(wanted, messages) {
            // What is left of the current segment still takes removals and changes.
            let squeezed = if messages { 0 } else { self.squeezed() };
            if squeezed == 0 && !self.unsynced.is_empty() {
                self.sync();
                return Ok(true);
            }
            if squeezed > 0 {
                wanted = squeezed;
            } else {
                let limit = if messages { limit } else { limit.min(reclaim::RESERVE - FIRST_RECORD) };
                wanted = self.batch_size(limit);
                if let Err(e) = self.next_segment(wanted, messages) {
                    return Ok(self.no_room(e));
                }
            }
        }
        let Some(current) = &mut self.current else { return Ok(false) };
        current.turn = self.turn;
        let start = current.end;
        let first = self.unsynced.len();
        self.buffer.clear();
        let mut chains: HashMap<QueueId, (Place, u16)> = HashMap::new();
        let mut barriers = Vec::new();
        while let Some(op) = self.pending.front() {
            let size = align((RECORD_HEADER + op.payload_len()) as u64);
            if self.buffer.len() as u64 + size > wanted {
                break;
            }
            let Some(op) = self.pending.pop_front() else { break };
            if let Op::Barrier(done) = op {
                barriers.push(done);
                continue;
            }
            place(&self.shared, current, &mut self.buffer, &mut self.unsynced, &mut chains, op);
        }
        let file = self.shared.state().segments.used.get(&current.number).map(|s| s.file.clone());
        let file = file.ok_or(SpoolError::Closed)?;
        crate::disk::write_all(file.as_ref(), &self.buffer, start)?;
        current.end = start + self.buffer.len() as u64;
        let mut state = self.shared.state();
        if let Some(s) = state.segments.used.get_mut(&current.number) {
            s.end = current.end;
        }
        for written in self.unsynced.get(first..).unwrap_or_default() {
            if let Op::Change { id, .. } = &written.op
                && let Some(entry) = state.slab.get_mut(*id)
            {
                entry.change = written.place;
                entry.chain = written.previous.1.saturating_add(1);
                entry.queued = entry.queued.saturating_sub(1);
            }
        }
        drop(state);
        barriers.into_iter().for_each(|done| drop(done.send(Ok(()))));
        if !self.unsynced.is_empty() {
            self.dirty_since.get_or_insert_with(Instant::now);
        }
        if messages {
            self.refuse_until = None;
        }
        Ok(true)
    }

    /// The last message found the disk full, or broken.
    pub(crate) fn is_crowded(&self) -> bool {
        self.refuse_until.is_some()
    }

    /// Bytes of the operations that make up the next batch: at least the first, more up to `limit`.
    fn batch_size(&self, limit: u64) -> u64 {
        let mut sum = 0;
        for op in &self.pending {
            let size = align((RECORD_HEADER + op.payload_len()) as u64);
            if sum > 0 && sum + size > limit {
                break;
            }
            sum += size;
        }
        sum
    }

    /// Bytes of the next operations that fit into what is allocated of the current segment; 0 when not even one does.
    fn squeezed(&self) -> u64 {
        let Some(current) = self.current.as_ref().filter(|c| c.records.len() < SEGMENT_RECORDS) else {
            return 0;
        };
        let allocated = self.shared.state().segments.used.get(&current.number).map_or(0, |s| s.allocated);
        let room = allocated.saturating_sub(current.end);
        Some(self.batch_size(room)).filter(|size| *size <= room).unwrap_or(0)
    }

    /// There is no room: refuses the messages that wait. Whether anything else is left to try at once.
    fn no_room(&mut self, why: SpoolError) -> bool {
        let had = self.pending.len();
        self.refuse_for_now(why.copy());
        self.pending.retain(|op| !matches!(op, Op::Move { .. }));
        self.look_at.get_or_insert_with(|| Instant::now() + crate::compact::EVERY);
        if self.pending.len() < had {
            self.stop_compaction();
            return true;
        }
        for op in &mut self.pending {
            if let Op::Change { done, .. } = op
                && let Some(done) = done.take()
            {
                let _ = done.send(Err(why.copy()));
            }
        }
        self.retry_at = Some(Instant::now() + PAUSE);
        false
    }

    /// What compaction was about to write is lost: it starts again later.
    fn stop_compaction(&mut self) {
        self.compaction = None;
        self.shared.state().segments.used.values_mut().for_each(|s| s.tried = false);
    }

    /// Whether `bytes` have room in the current segment.
    fn fits(&mut self, bytes: u64, messages: bool) -> bool {
        let Some(current) = &self.current else { return false };
        let room = current.end + bytes <= self.shared.options.segment_size || current.end == FIRST_RECORD;
        let usable = !(messages && current.emergency) && current.records.len() < SEGMENT_RECORDS;
        room && usable && self.allocate(bytes).is_ok()
    }

    /// Makes the written records durable and answers for them.
    pub(crate) fn sync(&mut self) {
        self.dirty_since = None;
        let Some(current) = &mut self.current else { return };
        let file = self.shared.state().segments.used.get(&current.number).map(|s| s.file.clone());
        let Some(file) = file else { return };
        match file.sync() {
            Ok(()) => {
                current.batch = current.batch.saturating_add(1);
                self.failures = 0;
                Shared::count(&self.shared.syncs, 1);
                self.finish();
            }
            Err(e) => self.fail(e.into()),
        }
    }

    /// Everything written is durable: updates the index, then answers.
    fn finish(&mut self) {
        let written = std::mem::take(&mut self.unsynced);
        let mut answers = Vec::with_capacity(written.len());
        let mut gone = Vec::new();
        let mut rewritten = Vec::new();
        let mut buried = Vec::new();
        let mut commits = 0;
        let mut state = self.shared.state();
        let State { slab, segments } = &mut *state;
        for Written { op, place, size, previous } in written {
            match op {
                Op::Commit(c) => {
                    let entry = Entry::at(place, size, &c.record);
                    slab.insert(c.id, entry);
                    segments.alive(place.segment, size);
                    commits += 1;
                    answers.push((Some(c.id), c.done));
                }
                Op::Change { id, done, .. } => {
                    if slab.get_any(id).is_some() {
                        segments.alive(place.segment, size);
                    }
                    if previous.1 >= crate::compact::FOLD_AT {
                        self.to_fold.push(id);
                    }
                    answers.extend(done.map(|done| (None, done)));
                }
                Op::Remove { id } => gone.push(id),
                Op::Keep { record, from } => segments.needed_no_more(from, record.aux),
                Op::Move { .. } | Op::Fold { .. } => rewritten.push((op, place, size)),
                Op::Bury { id, large: true, .. } => buried.push(id),
                Op::Bury { .. } | Op::Barrier(_) => {}
            }
        }
        drop(state);
        for (op, place, size) in rewritten {
            match op {
                Op::Move { id, from, record, .. } => self.moved(id, &record, from, place, size),
                Op::Fold { id, .. } => self.folded(id, place, size),
                _ => {}
            }
        }
        if !gone.is_empty() {
            self.look_at.get_or_insert_with(|| Instant::now() + crate::compact::EVERY);
        }
        for id in gone {
            self.forget(id);
        }
        buried.into_iter().for_each(|id| self.shared.delete_large(id));
        Shared::count(&self.shared.committed, commits);
        for (id, done) in answers {
            if done.send(Ok(())).is_err()
                && let Some(id) = id
                && self.shared.state().slab.dying(id)
            {
                // Nobody was told that this message was accepted.
                self.pending.push_back(Op::Remove { id });
            }
        }
    }

    /// The removal of `id` is durable: its records are dead, its file goes, its slot is free.
    fn forget(&mut self, id: QueueId) {
        let Some(entry) = self.shared.state().slab.get_any(id).copied() else { return };
        let chain = self.shared.chain(id, entry.change).unwrap_or_default();
        let mut state = self.shared.state();
        for (place, stored) in chain {
            state.segments.dead(place.segment, stored.record.size());
        }
        state.segments.dead(entry.place.segment, entry.size.into());
        state.slab.release(id);
        drop(state);
        if entry.flags & flag::LARGE != 0 {
            self.shared.delete_large(id);
        }
    }

    /// The batch cannot be made durable: gives the segment up.
    fn fail(&mut self, why: SpoolError) {
        let failed = self.current.take();
        let mut again = VecDeque::new();
        let written = std::mem::take(&mut self.unsynced);
        self.dirty_since = None;
        {
            let mut state = self.shared.state();
            for w in written.iter().rev() {
                if let Op::Change { id, .. } = &w.op
                    && let Some(entry) = state.slab.get_mut(*id)
                    && entry.change == w.place
                {
                    (entry.change, entry.chain) = w.previous;
                    entry.queued = entry.queued.saturating_add(1);
                }
            }
            if let Some(s) = failed.as_ref().and_then(|f| state.segments.used.get_mut(&f.number)) {
                s.closed = true;
                s.failed = true;
            }
            state.segments.check = true;
        }
        self.stop_compaction();
        self.look_at = Some(Instant::now() + crate::compact::EVERY);
        let generation = failed.as_ref().map_or(0, |f| f.generation);
        for w in written {
            again.extend(self.after_failure(w.op, generation, &why));
        }
        again.extend(self.pending.drain(..));
        self.pending = again;
        self.failures += 1;
        if self.failures > 1 {
            self.refuse_for_now(why);
            self.retry_at = Some(Instant::now() + RETRY);
        }
    }

    /// What is to be done about an operation of a failed batch.
    fn after_failure(&mut self, op: Op, generation: u64, why: &SpoolError) -> Option<Op> {
        match op {
            Op::Commit(c) => {
                // Its file stays until the removal is durable: a record without content would look like damage.
                let (id, large) = (c.id, c.record.flags & flag::LARGE != 0);
                self.shared.state().slab.release(id);
                let _ = c.done.send(Err(why.copy()));
                Some(Op::Bury { id, generation, large })
            }
            Op::Change { id, payload, flags, retry_at, done } => {
                if let Some(done) = done {
                    let _ = done.send(Err(why.copy()));
                }
                Some(Op::Change { id, payload, flags, retry_at, done: None })
            }
            again @ (Op::Remove { .. } | Op::Bury { .. }) => Some(again),
            // The old records still count; compaction will come back to them.
            Op::Keep { .. } | Op::Move { .. } | Op::Fold { .. } | Op::Barrier(_) => None,
        }
    }
}
