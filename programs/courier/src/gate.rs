//! Counting what is going on, with an upper bound: connections at the door, requests in hand.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A counter with a bound.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    changed: Condvar,
    limit: usize,
}

#[derive(Default)]
struct State {
    count: usize,
    /// Threads that wait for a change. Without any, nobody is woken: that is a system call for each request.
    waiting: usize,
}

/// One unit; given back when dropped.
pub struct Pass(Gate);

impl Gate {
    /// At most `limit` passes at a time.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Inner { state: Mutex::default(), changed: Condvar::new(), limit }))
    }

    /// Waits for a pass.
    pub fn enter(&self) -> Pass {
        let mut state = self.0.state();
        while state.count >= self.0.limit {
            state.waiting += 1;
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.count += 1;
        Pass(self.clone())
    }

    /// Whether there is room, without waiting.
    pub fn has_room(&self) -> bool {
        self.0.state().count < self.0.limit
    }

    /// Waits until all passes are back, at most `limit`.
    pub fn wait_empty(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.0.state();
        while state.count > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state.waiting += 1;
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
        }
        true
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.0.0.state();
        state.count -= 1;
        let waiting = state.waiting > 0;
        drop(state);
        if waiting {
            self.0.0.changed.notify_all();
        }
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
