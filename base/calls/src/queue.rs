//! A message in the queue and what can happen to it.

use crate::{Content, Diagnosis, Envelope, QueueId, Timestamp};
use std::sync::Arc;

/// A queued message as the stages see it.
#[derive(Debug)]
pub struct Queued {
    /// Its name.
    pub id: QueueId,
    /// Its envelope.
    pub envelope: Envelope,
    /// Its content.
    pub content: Content,
    /// When the content was complete and on disk (the `b` of the log's `delays=a/b/c/d`).
    pub accepted: Timestamp,
}

/// Which of Postfix's queues a message counts as being in (`postqueue -j` `queue_name`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum QueueName {
    /// Accepted, not yet taken up by the scheduler.
    #[default]
    Incoming,
    /// Being delivered.
    Active,
    /// Waiting for its next attempt.
    Deferred,
    /// Held by the administrator or an access rule.
    Hold,
    /// Handed in by `sendmail`, not yet taken up; only in listings.
    Maildrop,
}

impl QueueName {
    /// As printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Active => "active",
            Self::Deferred => "deferred",
            Self::Hold => "hold",
            Self::Maildrop => "maildrop",
        }
    }
}

/// What happens to a queued message after it was accepted. Each is a small record appended to the spool;
/// replaying them in order over the envelope gives the message's [`Progress`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This recipient (index) needs no more deliveries, and nobody is to be told.
    Done(u32),
    /// Delivered, and a success report (RFC 3461 NOTIFY=SUCCESS, `sendmail -v`) is due: action and text inside.
    Delivered(u32, Box<Diagnosis>),
    /// Failed for good; a notice is due.
    Failed(u32, Box<Diagnosis>),
    /// Not delivered this time; the newest reason replaces older ones.
    Deferred(u32, Box<Diagnosis>),
    /// No attempt before this time.
    RetryAt(Timestamp),
    /// The delay warning was sent (`delay_warning_time`).
    DelayWarned,
    /// The notices for all [`Change::Failed`] and [`Change::Delivered`] so far are in the queue.
    Noticed,
    /// Put on hold, or released.
    Held(bool),
    /// `postsuper -e`/`-f`: treat as expired (`true`: even when on hold).
    Expired(bool),
    /// `postsuper -r` and friends: forget delivery attempts and their times; the arrival time stays.
    Requeued,
}

/// What became of one recipient so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RecipientState {
    /// Not tried, or not since the last requeue.
    #[default]
    Pending,
    /// Tried and to be tried again.
    Deferred(Box<Diagnosis>),
    /// Finished; the notice (if any) is out.
    Done,
    /// Failed, notice due.
    Failed(Box<Diagnosis>),
    /// Delivered, success notice due.
    Delivered(Box<Diagnosis>),
}

/// The sum of the changes of one message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Per recipient, by index.
    pub recipients: Vec<RecipientState>,
    /// No attempt before this; zero when none was made.
    pub retry_at: Timestamp,
    /// The delay warning is out.
    pub delay_warned: bool,
    /// On hold.
    pub held: bool,
    /// Administratively expired; `Some(true)` also when held.
    pub expired: Option<bool>,
}

impl Progress {
    /// The state of a message with `recipients` recipients to which nothing has happened.
    pub fn new(recipients: usize) -> Self {
        Self { recipients: vec![RecipientState::Pending; recipients], ..Self::default() }
    }

    /// Applies one change. Indexes out of range (a damaged record) are ignored.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Done(i) => self.set(*i, RecipientState::Done),
            Change::Delivered(i, d) => self.set(*i, RecipientState::Delivered(d.clone())),
            Change::Failed(i, d) => self.set(*i, RecipientState::Failed(d.clone())),
            Change::Deferred(i, d) => self.set(*i, RecipientState::Deferred(d.clone())),
            Change::RetryAt(t) => self.retry_at = *t,
            Change::DelayWarned => self.delay_warned = true,
            Change::Noticed => self.noticed(),
            Change::Held(held) => self.held = *held,
            Change::Expired(force) => self.expired = Some(*force),
            Change::Requeued => self.requeued(),
        }
    }

    fn set(&mut self, index: u32, state: RecipientState) {
        if let Some(r) = self.recipients.get_mut(index as usize) {
            *r = state;
        }
    }

    fn noticed(&mut self) {
        for r in &mut self.recipients {
            if matches!(r, RecipientState::Failed(_) | RecipientState::Delivered(_)) {
                *r = RecipientState::Done;
            }
        }
    }

    fn requeued(&mut self) {
        self.retry_at = Timestamp::default();
        self.held = false;
        self.expired = None;
        for r in &mut self.recipients {
            // What some members of an alias have got already is not forgotten.
            if matches!(r, RecipientState::Deferred(d) if d.done.is_empty()) {
                *r = RecipientState::Pending;
            }
        }
    }

    /// Whether no recipient needs a delivery or a notice any more.
    pub fn is_finished(&self) -> bool {
        self.recipients.iter().all(|r| *r == RecipientState::Done)
    }
}

/// Where cleanup hands over a message that is on disk: the scheduler.
pub trait Arrivals: Send + Sync {
    /// `message` is durable and waits for its first delivery, or is on hold.
    fn arrived(&self, message: Arc<Queued>, held: bool);

    /// Whether so many new messages wait that the next one had better come later (`in_flow_delay`).
    fn is_crowded(&self) -> bool {
        false
    }
}
