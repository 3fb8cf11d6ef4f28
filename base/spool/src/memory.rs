//! The in-memory twin of the store on disk, for tests of other stages: same behaviour, nothing durable.
//!
//! Large messages are kept in memory too. [`MemorySpool::fail_with`] makes commits fail like a full or broken disk.

use crate::{
    Draft, Spool, SpoolError, Stats, Summary,
    draft::{DraftStore, Finished, LargeFile},
};
use base_calls::{Change, Envelope, Fut, Progress, QueueId, Queued, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A spool without a disk.
#[derive(Default)]
pub struct MemorySpool {
    state: Arc<Shared>,
}

#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    messages: BTreeMap<u32, Entry>,
    free: BTreeSet<u32>,
    next: u32,
    last_time: u64,
    committed: u64,
    closed: bool,
    failure: Option<fn() -> SpoolError>,
}

struct Entry {
    message: Arc<Queued>,
    progress: Progress,
    changed: bool,
}

impl MemorySpool {
    /// An empty spool.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on commits fail with this (`None`: work again), as `fail_with(Some(|| SpoolError::Full))`.
    pub fn fail_with(&self, failure: Option<fn() -> SpoolError>) {
        self.state.lock().failure = failure;
    }

    fn committed(&self, draft: Draft, envelope: Envelope, held: bool) -> Result<Arc<Queued>, SpoolError> {
        let mut state = self.state.lock();
        let id = draft.id();
        if let Some(failure) = state.failure.or(state.closed.then_some(|| SpoolError::Closed)) {
            drop(state);
            return Err(failure());
        }
        let Finished::Small(bytes) = draft.finish() else { return Err(SpoolError::Closed) };
        let mut progress = Progress::new(envelope.recipients.len());
        progress.held = held;
        let content = base_calls::Content::Memory(bytes);
        let message = Arc::new(Queued { id, envelope, content, accepted: Timestamp::now() });
        state.messages.insert(id.slot, Entry { message: message.clone(), progress, changed: false });
        state.committed += 1;
        Ok(message)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn entry(&mut self, id: QueueId) -> Result<&mut Entry, SpoolError> {
        let entry = self.messages.get_mut(&id.slot).filter(|e| e.message.id == id);
        entry.ok_or(SpoolError::NotFound)
    }

    fn draft_id(&mut self, long: bool) -> QueueId {
        let slot = self.free.pop_first().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.last_time = Timestamp::now().0.max(self.last_time + 1);
        QueueId { time: Timestamp(self.last_time), slot, long }
    }
}

impl DraftStore for Shared {
    fn threshold(&self) -> usize {
        usize::MAX
    }

    fn open_large(&self, _: QueueId) -> Result<Box<dyn LargeFile>, SpoolError> {
        Err(SpoolError::Full)
    }

    fn discard(&self, id: QueueId) {
        self.lock().free.insert(id.slot);
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Fut<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Spool for MemorySpool {
    fn draft(&self, long_id: bool) -> Result<Draft, SpoolError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(SpoolError::Closed);
        }
        Ok(Draft::new(state.draft_id(long_id), self.state.clone()))
    }

    fn commit<'a>(
        &'a self,
        draft: Draft,
        envelope: Envelope,
        held: bool,
    ) -> Fut<'a, Result<Arc<Queued>, SpoolError>> {
        ready(self.committed(draft, envelope, held))
    }

    fn change<'a>(&'a self, id: QueueId, changes: Vec<Change>, _: bool) -> Fut<'a, Result<(), SpoolError>> {
        let mut state = self.state.lock();
        ready(state.entry(id).map(|entry| {
            changes.iter().for_each(|c| entry.progress.apply(c));
            entry.changed = true;
        }))
    }

    fn remove<'a>(&'a self, id: QueueId) -> Fut<'a, Result<(), SpoolError>> {
        let mut state = self.state.lock();
        let found = state.entry(id).map(drop);
        if found.is_ok() {
            state.messages.remove(&id.slot);
            state.free.insert(id.slot);
        }
        ready(found)
    }

    fn load<'a>(&'a self, id: QueueId) -> Fut<'a, Result<(Arc<Queued>, Progress), SpoolError>> {
        ready(self.state.lock().entry(id).map(|e| (e.message.clone(), e.progress.clone())))
    }

    fn find(&self, text: &str) -> Option<QueueId> {
        let parsed = QueueId::parse(text)?;
        let state = self.state.lock();
        state.messages.get(&parsed.slot).map(|e| e.message.id).filter(|id| parsed.names(id))
    }

    fn list(&self, from_slot: u32, max: usize) -> Vec<Summary> {
        let summary = |e: &Entry| Summary {
            id: e.message.id,
            held: e.progress.held,
            retry_at: e.progress.retry_at,
            expired: e.progress.expired,
            changed: e.changed,
        };
        self.state.lock().messages.range(from_slot..).take(max).map(|(_, e)| summary(e)).collect()
    }

    fn stats(&self) -> Stats {
        let state = self.state.lock();
        Stats {
            messages: state.messages.len() as u64,
            held: state.messages.values().filter(|e| e.progress.held).count() as u64,
            live_bytes: state.messages.values().map(|e| e.message.content.len()).sum(),
            committed: state.committed,
            ..Stats::default()
        }
    }

    fn close(&self) {
        self.state.lock().closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    fn now<T>(mut f: Fut<'_, T>) -> T {
        match f.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(v) => v,
            Poll::Pending => panic!("not ready"),
        }
    }

    #[test]
    fn a_message_comes_and_goes() {
        let spool = MemorySpool::new();
        let mut draft = spool.draft(false).unwrap();
        draft.write(b"Subject: x\r\n\r\n").unwrap();
        let id = draft.id();
        assert_eq!(spool.find(&id.to_string()), None);
        now(spool.commit(draft, Envelope::default(), true)).unwrap();
        assert_eq!(spool.find(&id.to_string()), Some(id));
        now(spool.change(id, vec![Change::Held(false)], true)).unwrap();
        let (message, progress) = now(spool.load(id)).unwrap();
        assert_eq!((message.content.len(), progress.held), (14, false));
        assert!(spool.list(0, 10)[0].changed);
        now(spool.remove(id)).unwrap();
        assert!(matches!(now(spool.load(id)), Err(SpoolError::NotFound)));
        assert_eq!(spool.stats().messages, 0);
    }

    #[test]
    fn a_dropped_draft_and_a_failed_commit_leave_no_trace() {
        let spool = MemorySpool::new();
        drop(spool.draft(false).unwrap());
        spool.fail_with(Some(|| SpoolError::Full));
        let draft = spool.draft(true).unwrap();
        assert_eq!(draft.id().slot, 0);
        assert!(matches!(now(spool.commit(draft, Envelope::default(), false)), Err(SpoolError::Full)));
        assert!(spool.list(0, 10).is_empty());
    }
}
