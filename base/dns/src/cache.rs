//! Answers kept by TTL, and equal questions under way asked once.
//!
//! Bounded: a full cache drops what has expired, then a part of the rest. A question whose asker goes away is
//! taken over by the next one who waits for it.

use crate::DnsError;
use crate::wire::{Found, Kind};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Name in lower case, what is asked, and whether with DNSSEC.
pub type Key = (String, Kind, bool);
/// What is kept.
pub type Outcome = Result<Arc<Found>, DnsError>;

/// The longest time an answer, and an absence, is kept.
const MAX_LIFE: u32 = 86_400;
const MAX_ABSENCE: u32 = 3_600;

/// The cache.
pub struct Cache {
    limit: usize,
    kept: Mutex<HashMap<Key, (Instant, Outcome)>>,
    flights: Mutex<HashMap<Key, Flight>>,
}

type Flight = Arc<OnceCell<Outcome>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    /// An empty cache for at most `limit` answers.
    pub fn new(limit: usize) -> Cache {
        Cache { limit, kept: Mutex::default(), flights: Mutex::default() }
    }

    /// The answer from the cache, from a question under way, or from `ask`, which gives it with its life in seconds.
    pub async fn get<F>(&self, key: Key, ask: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = (Outcome, u32)>,
    {
        if let Some(outcome) = self.fresh(&key) {
            return outcome;
        }
        let flight = lock(&self.flights).entry(key.clone()).or_default().clone();
        let landing = Landing { cache: self, key, flight };
        let outcome = landing.flight.get_or_init(|| async {
            let (outcome, life) = ask().await;
            self.keep(&landing.key, &outcome, life);
            outcome
        });
        outcome.await.clone()
    }

    fn fresh(&self, key: &Key) -> Option<Outcome> {
        let kept = lock(&self.kept);
        let (end, outcome) = kept.get(key)?;
        (*end > Instant::now()).then(|| outcome.clone())
    }

    fn keep(&self, key: &Key, outcome: &Outcome, life: u32) {
        let life = life.min(if outcome.is_ok() { MAX_LIFE } else { MAX_ABSENCE });
        if life == 0 || self.limit == 0 {
            return;
        }
        let now = Instant::now();
        let mut kept = lock(&self.kept);
        if kept.len() >= self.limit {
            kept.retain(|_, (end, _)| *end > now);
        }
        if kept.len() >= self.limit {
            let few: Vec<Key> = kept.keys().take(self.limit / 8 + 1).cloned().collect();
            few.iter().for_each(|key| drop(kept.remove(key)));
        }
        kept.insert(key.clone(), (now + Duration::from_secs(life.into()), outcome.clone()));
    }

    /// How many answers are kept.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        lock(&self.kept).len()
    }
}

/// Takes the flight off the list when the last one who waits for it goes.
struct Landing<'a> {
    cache: &'a Cache,
    key: Key,
    flight: Flight,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut flights = lock(&self.cache.flights);
        let ours = flights.get(&self.key).is_some_and(|f| Arc::ptr_eq(f, &self.flight));
        let done_or_last = self.flight.initialized() || Arc::strong_count(&self.flight) == 2;
        if ours && done_or_last {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn found(ttl: u32) -> (Outcome, u32) {
        (Ok(Arc::new(Found { data: Vec::new(), name: String::new(), authentic: false, ttl })), ttl)
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_until_the_time_is_over() {
        let (cache, asked) = (Cache::new(10), AtomicUsize::new(0));
        let ask = || async {
            asked.fetch_add(1, Ordering::SeqCst);
            found(5)
        };
        let key = || ("a".to_owned(), Kind::A, false);
        for (wait, want) in [(0, 1), (4, 1), (2, 2)] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            cache.get(key(), ask).await.unwrap();
            assert_eq!(asked.load(Ordering::SeqCst), want);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn equal_questions_are_asked_once() {
        let (cache, asked) = (Cache::new(10), AtomicUsize::new(0));
        let ask = || async {
            asked.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            found(0)
        };
        let key = || ("a".to_owned(), Kind::A, false);
        let (a, b) = tokio::join!(cache.get(key(), ask), cache.get(key(), ask));
        assert!(a.is_ok() && b.is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(lock(&cache.flights).is_empty());
        cache.get(key(), ask).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2, "a TTL of 0 is not kept");
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_given_up_is_taken_over() {
        let cache = Cache::new(10);
        let key = || ("a".to_owned(), Kind::A, false);
        let never = || std::future::pending::<(Outcome, u32)>();
        let slow = tokio::time::timeout(Duration::from_secs(1), cache.get(key(), never));
        assert!(slow.await.is_err());
        assert!(lock(&cache.flights).is_empty());
        assert!(cache.get(key(), || async { found(1) }).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn is_bounded() {
        let cache = Cache::new(50);
        for i in 0..500 {
            cache.get((format!("n{i}"), Kind::A, false), || async { found(1000) }).await.unwrap();
            assert!(cache.len() <= 50);
        }
    }
}
