//! Answers by their TTL, bounded; equal questions under way are asked once.

use crate::{
    DnsError,
    wire::{Outcome, Question},
};
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;

/// Seconds for which a temporary failure is remembered, so that a dead server does not stall one session after the other.
const FAILURE_TTL: u32 = 5;

/// One question's place: filled by the first who asks, awaited by the others.
type Slot = Arc<OnceCell<(Outcome, Instant)>>;

pub(crate) struct Cache {
    max: usize,
    slots: Mutex<HashMap<Question, Slot>>,
}

impl Cache {
    pub fn new(max: usize) -> Self {
        Self { max: max.max(1), slots: Mutex::default() }
    }

    /// The cached outcome, or what `ask` gives (with its TTL in seconds).
    pub async fn get<F>(&self, question: &Question, ask: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = (Outcome, u32)>,
    {
        let slot = self.slot(question);
        let fill = || async {
            let (outcome, ttl) = ask().await;
            let ttl = if matches!(outcome, Err(DnsError::TempFail(_))) { FAILURE_TTL } else { ttl };
            (outcome, Instant::now() + Duration::from_secs(u64::from(ttl)))
        };
        slot.get_or_init(fill).await.0.clone()
    }

    fn slot(&self, question: &Question) -> Slot {
        let now = Instant::now();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(question).filter(|s| s.get().is_none_or(|(_, until)| *until > now)) {
            return Arc::clone(slot);
        }
        if slots.len() >= self.max {
            Self::make_room(&mut slots, now, self.max);
        }
        let slot = Slot::default();
        slots.insert(question.clone(), Arc::clone(&slot));
        slot
    }

    /// Drops what has expired; when that is not enough, a quarter of the rest, in no particular order.
    fn make_room(slots: &mut HashMap<Question, Slot>, now: Instant, max: usize) {
        slots.retain(|_, s| s.get().is_none_or(|(_, until)| *until > now));
        let mut excess = slots.len().saturating_sub(max - max / 4 - 1);
        slots.retain(|_, s| {
            let drop = excess > 0 && s.initialized();
            excess -= usize::from(drop);
            !drop
        });
    }
}
