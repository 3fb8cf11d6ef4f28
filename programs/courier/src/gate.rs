//! Counting what is going on, with an upper bound: connections at the door, requests in hand.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A counter with a bound.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    count: Mutex<usize>,
    changed: Condvar,
    limit: usize,
}

/// One unit; given back when dropped.
pub struct Pass(Gate);

impl Gate {
    /// At most `limit` passes at a time.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Inner { count: Mutex::new(0), changed: Condvar::new(), limit }))
    }

    /// Waits for a pass.
    pub fn enter(&self) -> Pass {
        let mut count = self.0.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count >= self.0.limit {
            count = self.0.changed.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
        *count += 1;
        Pass(self.clone())
    }

    /// Whether there is room, without waiting.
    pub fn has_room(&self) -> bool {
        *self.0.count.lock().unwrap_or_else(PoisonError::into_inner) < self.0.limit
    }

    /// Waits until all passes are back, at most `limit`.
    pub fn wait_empty(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut count = self.0.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            count = self.0.changed.wait_timeout(count, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let inner = &self.0.0;
        *inner.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        inner.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_and_counted() {
        let gate = Gate::new(2);
        let (a, b) = (gate.enter(), gate.enter());
        assert!(!gate.has_room());
        let other = gate.clone();
        let waiting = std::thread::spawn(move || drop(other.enter()));
        drop(a);
        waiting.join().unwrap();
        assert!(gate.has_room());
        assert!(!gate.wait_empty(Duration::ZERO));
        drop(b);
        assert!(gate.wait_empty(Duration::ZERO));
    }
}
