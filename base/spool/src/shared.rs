//! What the callers' threads and the writer thread share: the index under one lock, the queue of operations under
//! another. Neither lock is held while the disk works.

use crate::{
    Damage, Options, SpoolError,
    ahead::Ahead,
    disk::Disk,
    format::{Place, Record},
    segments::Segments,
    slab::Slab,
};
use base_calls::{Change, QueueId};
use bytes::Bytes;
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// How a caller hears of its operation.
pub(crate) type Answer = oneshot::Sender<Result<(), SpoolError>>;

/// A message for the writer, encoded and checksummed by its caller.
pub(crate) struct Commit {
    pub(crate) id: QueueId,
    /// All but batch number.
    pub(crate) record: Record,
    /// Acceptance time, envelope, folded changes; for a large message the reference too.
    pub(crate) prefix: Vec<u8>,
    /// Content of a small message.
    pub(crate) content: Bytes,
    pub(crate) done: Answer,
}

/// What the writer is asked to record.
pub(crate) enum Op {
    /// A new message.
    Commit(Box<Commit>),
    /// Encoded changes of a message.
    Change { id: QueueId, payload: Vec<u8>, flags: u8, retry_at: u32, done: Option<Answer> },
    /// Answered when all before it is written (not synced), so that it can be read.
    Barrier(Answer),
    /// A message is gone; its slot is dying.
    Remove { id: QueueId },
    /// A message that was refused after its record may have reached the disk.
    Bury { id: QueueId, generation: u64, large: bool },
    /// Compaction: a message record moves here from `from`.
    Move { id: QueueId, record: Record, payload: Vec<u8>, from: Place },
    /// The chain of changes of a message becomes this one record.
    Fold { id: QueueId, payload: Vec<u8>, flags: u8, retry_at: u32 },
    /// Compaction: a removal in segment `from` that is still needed.
    Keep { record: Record, from: u32 },
}

impl Op {
    /// Whether somebody waits for it to be durable.
    pub(crate) fn is_urgent(&self) -> bool {
        match self {
            Self::Commit(_) | Self::Barrier(_) => true,
            Self::Change { done, .. } => done.is_some(),
            _ => false,
        }
    }

    /// Length of the record's payload.
    pub(crate) fn payload_len(&self) -> usize {
        match self {
            Self::Commit(c) => c.prefix.len() + c.content.len(),
            Self::Change { payload, .. } | Self::Move { payload, .. } | Self::Fold { payload, .. } => {
                payload.len()
            }
            Self::Barrier(_) | Self::Remove { .. } | Self::Bury { .. } | Self::Keep { .. } => 0,
        }
    }
}

/// How the writer sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Parked {
    /// Not at all.
    #[default]
    No,
    /// It looks again in a moment: only what somebody waits for wakes it up.
    Briefly,
    /// Anything wakes it up.
    Long,
}

/// Operations that wait for the writer.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) ops: Vec<Op>,
    /// One of them is urgent.
    pub(crate) urgent: bool,
    pub(crate) closed: bool,
    parked: Parked,
    /// The writer has ended.
    pub(crate) ended: bool,
    /// What a kill may not take.
    pub(crate) ahead: Ahead,
}

/// What the writer takes at once.
pub(crate) struct Taken {
    pub(crate) ops: Vec<Op>,
    /// For the records of these operations.
    pub(crate) turn: u16,
    /// The spool is being closed.
    pub(crate) closing: bool,
}

/// The index.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) slab: Slab,
    pub(crate) segments: Segments,
}

/// See the module.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    state: Mutex<State>,
    queue: Mutex<Queue>,
    wake: Condvar,
    ended: Condvar,
    pub(crate) syncs: AtomicU64,
    pub(crate) committed: AtomicU64,
    pub(crate) read_only: bool,
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>, options: Options, state: State, read_only: bool) -> Self {
        Self {
            disk,
            options,
            state: Mutex::new(state),
            queue: Mutex::new(Queue { closed: read_only, ended: read_only, ..Queue::default() }),
            wake: Condvar::new(),
            ended: Condvar::new(),
            syncs: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            read_only,
        }
    }

    /// The index.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an operation to the writer; gives it back when the spool is closed.
    pub(crate) fn push(&self, op: Op) -> Result<(), Op> {
        let mut queue = self.queue();
        if queue.closed {
            return Err(op);
        }
        let urgent = op.is_urgent();
        let wake = match queue.parked {
            Parked::No => false,
            Parked::Briefly => urgent,
            Parked::Long => true,
        };
        queue.urgent |= urgent;
        queue.ahead.note(&op);
        queue.ops.push(op);
        if wake {
            queue.parked = Parked::No;
        }
        drop(queue);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// The writer's next operations. An urgent one ends the wait at once. Others are left for up to `linger` to go
    /// with it: a busy server writes removals together with the next messages, and they wake nobody up. Without any
    /// operation the wait is over after `idle`. `behind`: some of those it took before are not written yet.
    pub(crate) fn next(&self, idle: Option<Duration>, linger: Duration, behind: bool) -> Taken {
        let mut queue = self.queue();
        let soon = idle.map_or(linger, |idle| idle.min(linger));
        let first = if queue.ops.is_empty() { soon } else { linger };
        queue = self.park(queue, Parked::Briefly, Some(first));
        if queue.ops.is_empty() {
            queue = self.park(queue, Parked::Long, idle.map(|idle| idle.saturating_sub(soon)));
            if !queue.ops.is_empty() {
                queue = self.park(queue, Parked::Briefly, Some(linger));
            }
        }
        queue.urgent = false;
        let turn = queue.ahead.take(behind);
        Taken { ops: std::mem::take(&mut queue.ops), turn, closing: queue.closed }
    }

    /// Sleeps for `limit`, or until woken up; not at all when there is something urgent.
    fn park<'a>(
        &self,
        mut queue: MutexGuard<'a, Queue>,
        how: Parked,
        limit: Option<Duration>,
    ) -> MutexGuard<'a, Queue> {
        if queue.urgent || queue.closed || limit == Some(Duration::ZERO) {
            return queue;
        }
        queue.parked = how;
        let mut queue = match limit {
            Some(limit) => self.wake.wait_timeout(queue, limit).unwrap_or_else(PoisonError::into_inner).0,
            None => self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
        };
        queue.parked = Parked::No;
        queue
    }

    /// No more operations; waits for the writer to end.
    pub(crate) fn close(&self) {
        let mut queue = self.queue();
        queue.closed = true;
        self.wake.notify_one();
        while !queue.ended {
            queue = self.ended.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The writer has ended: refuses what still waits. `done`: everything else is written.
    pub(crate) fn end(&self, done: bool) {
        let mut queue = self.queue();
        if done {
            queue.ahead.clear();
        }
        queue.closed = true;
        queue.ended = true;
        queue.ops.clear();
        self.ended.notify_all();
    }

    /// Deletes the content file of a large message; the next start would, too.
    pub(crate) fn delete_large(&self, id: QueueId) {
        let _ = self.disk.remove(&crate::large::path(id));
    }

    /// Reports damage found after the start.
    pub(crate) fn report(&self, damage: &Damage) {
        if let Some(on_damage) = &self.options.on_damage {
            on_damage(damage);
        }
    }

    pub(crate) fn count(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// The encoded form of changes.
pub(crate) fn encode_changes(changes: &[Change]) -> Vec<u8> {
    let mut out = Vec::new();
    changes.iter().for_each(|c| base_calls::codec::encode_change(c, &mut out));
    out
}
