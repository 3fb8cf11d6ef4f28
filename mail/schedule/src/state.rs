//! What the driver's tasks share under one lock: the table of destinations, the backlog, and the active set with its
//! bounds.

use crate::backlog::{Backlog, Entry};
use crate::config::ScheduleConfig;
use crate::core::{Batch, Core, Job};
use crate::driver::Parts;
use crate::ledger::Ledger;
use base_calls::{Content, Progress, QueueId, Queued, Timestamp};
use std::collections::{HashMap, hash_map::Entry as HashEntry};
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

/// What the administrator decided about a message while it is being delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing: go on.
    Deliver = 0,
    /// Put on hold.
    Hold = 1,
    /// Start again from routing.
    Requeue = 2,
    /// Deleted.
    Delete = 3,
}

/// A [`Fate`] that can change under way. It lives as long as anything is done about the message.
#[derive(Debug)]
pub(crate) struct FateCell {
    id: QueueId,
    fate: AtomicU8,
    /// Who wants to know when that is over.
    heir: OnceLock<UnboundedSender<QueueId>>,
}

impl Drop for FateCell {
    fn drop(&mut self) {
        if let Some(heir) = self.heir.get() {
            let _ = heir.send(self.id);
        }
    }
}

impl FateCell {
    pub(crate) fn new(id: QueueId) -> Self {
        Self { id, fate: AtomicU8::new(Fate::Deliver as u8), heir: OnceLock::new() }
    }

    pub(crate) fn set(&self, fate: Fate) {
        self.fate.store(fate as u8, SeqCst);
    }

    pub(crate) fn get(&self) -> Fate {
        match self.fate.load(SeqCst) {
            0 => Fate::Deliver,
            1 => Fate::Hold,
            2 => Fate::Requeue,
            _ => Fate::Delete,
        }
    }
}

/// One delivery attempt of one message.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) message: Arc<Queued>,
    pub(crate) activated: Timestamp,
    pub(crate) fate: Arc<FateCell>,
    /// Asked for by the administrator.
    pub(crate) flush: bool,
    /// Recipients beyond those that every message may have.
    pooled: usize,
    ledger: Mutex<Ledger>,
}

impl Attempt {
    pub(crate) fn new(
        message: Arc<Queued>,
        progress: Progress,
        fate: Arc<FateCell>,
        flush: bool,
        config: &ScheduleConfig,
    ) -> Arc<Self> {
        Arc::new(Self {
            pooled: message.envelope.recipients.len().saturating_sub(config.recipient_minimum),
            message,
            activated: Timestamp::now(),
            fate,
            flush,
            ledger: Mutex::new(Ledger::new(progress)),
        })
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Members of aliases that earlier attempts are done with, by recipient.
    pub(crate) fn done_members(&self, indexes: &[u32]) -> Vec<(u32, Vec<String>)> {
        let ledger = self.ledger();
        let of = |i: &u32| Some((*i, ledger.done_members(*i).to_vec())).filter(|(_, done)| !done.is_empty());
        indexes.iter().filter_map(of).collect()
    }

    fn memory(&self) -> u64 {
        match &self.message.content {
            Content::Memory(b) => b.len() as u64,
            Content::File { .. } => 0,
        }
    }
}

/// Loads from the spool at once.
const MAX_LOADING: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) core: Core<Arc<Attempt>>,
    pub(crate) backlog: Backlog,
    /// By slot: messages that are being loaded or delivered.
    busy: HashMap<u32, Arc<FateCell>>,
    loading: usize,
    /// Recipients beyond those that every message may have.
    recipients: usize,
    bytes: u64,
    /// When the clock task wakes up next.
    pub(crate) wakes_at: Timestamp,
    /// Another process delivers now what is not under way here.
    retired: bool,
}

impl State {
    fn has_room(&self, config: &ScheduleConfig) -> bool {
        self.busy.len() < config.active_messages.max(1)
            && (self.bytes < config.content_memory || self.busy.is_empty())
    }

    /// Whether there is room for so many recipients. A few (`qmgr_message_recipient_minimum`) there are for every message, so that a
    /// message with very many holds up others of its kind only.
    fn has_room_for(&self, recipients: usize, config: &ScheduleConfig) -> bool {
        recipients <= config.recipient_minimum
            || self.recipients < config.active_recipients
            || self.recipients == 0
    }

    /// Takes a fresh message into the active set, if there is room and none came before it.
    pub(crate) fn arrive(&mut self, message: &Arc<Queued>, config: &ScheduleConfig) -> Option<Arc<Attempt>> {
        if self.retired {
            return None;
        }
        if self.backlog.has_incoming() || !self.has_room(config) || self.busy.contains_key(&message.id.slot) {
            self.backlog.push_incoming(message.id);
            return None;
        }
        let recipients = message.envelope.recipients.len();
        let in_line = recipients > config.recipient_minimum && self.backlog.has_large();
        if in_line || !self.has_room_for(recipients, config) {
            self.backlog.push_large(Entry::fresh(message.id));
            return None;
        }
        let fate = Arc::new(FateCell::new(message.id));
        self.busy.insert(message.id.slot, fate.clone());
        let attempt = Attempt::new(message.clone(), Progress::new(recipients), fate, false, config);
        self.count(&attempt);
        Some(attempt)
    }

    fn count(&mut self, attempt: &Attempt) {
        self.recipients += attempt.pooled;
        self.bytes += attempt.memory();
    }

    fn next_entry(&mut self, config: &ScheduleConfig) -> Option<Entry> {
        let large = if self.has_room_for(usize::MAX, config) { self.backlog.pop_large() } else { None };
        large.or_else(|| self.backlog.pop())
    }

    /// The messages to load now. One whose slot another message had, which was deleted while it is delivered, waits until that
    /// is over.
    pub(crate) fn take_loads(&mut self, config: &ScheduleConfig) -> Vec<Entry> {
        let (mut loads, mut later) = (Vec::new(), Vec::new());
        while !self.retired
            && self.loading < MAX_LOADING
            && self.has_room(config)
            && let Some(entry) = self.next_entry(config)
        {
            match self.busy.entry(entry.id().slot) {
                HashEntry::Vacant(place) => {
                    place.insert(Arc::new(FateCell::new(entry.id())));
                    self.loading += 1;
                    loads.push(entry);
                }
                HashEntry::Occupied(other) if other.get().id != entry.id() => later.push(entry),
                HashEntry::Occupied(_) => {}
            }
        }
        later.into_iter().rev().for_each(|entry| self.backlog.put_back(entry));
        loads
    }

    /// A load has ended: with a message that is to be delivered, or with nothing.
    pub(crate) fn loaded(
        &mut self,
        entry: Entry,
        found: Option<(Arc<Queued>, Progress)>,
        config: &ScheduleConfig,
    ) -> Option<Arc<Attempt>> {
        let id = entry.id();
        self.loading = self.loading.saturating_sub(1);
        if self.retired {
            return None;
        }
        let fate = self.busy.get(&id.slot).cloned().unwrap_or_else(|| Arc::new(FateCell::new(id)));
        match found {
            Some((message, _))
                if fate.get() == Fate::Deliver
                    && !self.has_room_for(message.envelope.recipients.len(), config) =>
            {
                self.busy.remove(&id.slot);
                self.backlog.push_large(entry);
                None
            }
            Some((message, progress)) if fate.get() == Fate::Deliver => {
                let attempt = Attempt::new(message, progress, fate, entry.is_flush(), config);
                self.count(&attempt);
                Some(attempt)
            }
            _ => {
                self.busy.remove(&id.slot);
                if fate.get() == Fate::Requeue {
                    self.backlog.push_incoming(id);
                }
                None
            }
        }
    }

    /// The attempt is over.
    pub(crate) fn release(&mut self, attempt: &Attempt) {
        self.busy.remove(&attempt.message.id.slot);
        self.recipients = self.recipients.saturating_sub(attempt.pooled);
        self.bytes = self.bytes.saturating_sub(attempt.memory());
    }

    /// Tells an attempt under way what was decided; `None` when there is none.
    pub(crate) fn fate(&self, id: QueueId) -> Option<&FateCell> {
        self.busy.get(&id.slot).map(Arc::as_ref).filter(|fate| fate.id == id)
    }

    /// Whether the message is in the active set.
    pub(crate) fn is_active(&self, id: QueueId) -> bool {
        self.fate(id).is_some()
    }

    /// Messages in the active set.
    pub(crate) fn active(&self) -> usize {
        self.busy.len()
    }

    /// Hands jobs to the table, unless they are another process's business.
    pub(crate) fn submit(&mut self, now: Timestamp, batches: Vec<Batch<Arc<Attempt>>>, parts: &Parts) {
        if !self.retired {
            self.core.submit(now, batches, &parts.limits());
        }
    }

    /// Nothing more is started, and what waits here is forgotten: it is in the spool. Returns the messages that something is being
    /// done about; `heir` hears when that is over.
    pub(crate) fn retire(&mut self, heir: &UnboundedSender<QueueId>) -> Vec<QueueId> {
        self.retired = true;
        self.core = Core::default();
        self.backlog = Backlog::default();
        let in_hand = |fate: &Arc<FateCell>| Arc::strong_count(fate) > 1;
        let busy = std::mem::take(&mut self.busy).into_values().filter(in_hand);
        busy.map(|fate| {
            let _ = fate.heir.set(heir.clone());
            fate.id
        })
        .collect()
    }

    /// Another process is at this message.
    pub(crate) fn lend(&mut self, id: QueueId) {
        self.busy.insert(id.slot, Arc::new(FateCell::new(id)));
    }

    /// It is not any more. What was decided meanwhile; `None` when it was not known.
    pub(crate) fn returned(&mut self, id: QueueId) -> Option<Fate> {
        let fate = self.fate(id)?.get();
        self.busy.remove(&id.slot);
        Some(fate)
    }

    /// All jobs that may start.
    pub(crate) fn take_jobs(&mut self, now: Timestamp) -> Vec<Job<Arc<Attempt>>> {
        std::iter::from_fn(|| self.core.next(now)).collect()
    }
}
