//! Open sessions between two deliveries (CONNECTION_CACHE_README): kept while there is demand, closed with QUIT when
//! nobody wants them in time. Within one process, so that a session is never handed around.

use super::session::{PeerKey, Session, Variant};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::time::Instant;

/// Most idle sessions of one service.
const MAX_IDLE: usize = 500;

/// The idle sessions of one service.
#[derive(Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: HashMap<(PeerKey, Variant), Vec<Idle>>,
    count: usize,
    /// Somebody closes what nobody wants.
    sweeping: bool,
    /// Deliveries under way, by next hop.
    busy: HashMap<Arc<str>, usize>,
}

struct Idle {
    session: Session,
    until: Instant,
}

/// Counts a delivery as under way while it lives.
pub(crate) struct Busy<'a> {
    pool: &'a Pool,
    nexthop: Arc<str>,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        if let Some(n) = state.busy.get_mut(&self.nexthop) {
            *n = n.saturating_sub(1);
            if *n == 0 {
                state.busy.remove(&self.nexthop);
            }
        }
    }
}

impl Pool {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A delivery to `nexthop` begins.
    pub fn begin(&self, nexthop: &Arc<str>) -> Busy<'_> {
        *self.lock().busy.entry(nexthop.clone()).or_insert(0) += 1;
        Busy { pool: self, nexthop: nexthop.clone() }
    }

    /// How many deliveries to `nexthop` are under way.
    pub fn busy(&self, nexthop: &str) -> usize {
        self.lock().busy.get(nexthop).copied().unwrap_or(0)
    }

    /// An idle session with a host; the one used last, since it is the least likely to be closed.
    pub fn take(&self, key: &(PeerKey, Variant)) -> Option<Session> {
        let mut state = self.lock();
        let list = state.idle.get_mut(key)?;
        let idle = list.pop()?;
        if list.is_empty() {
            state.idle.remove(key);
        }
        state.count -= 1;
        Some(idle.session)
    }

    /// Keeps a session for `time`; gives it back when there are too many.
    pub fn put(self: &Arc<Self>, session: Session, time: Duration) -> Option<Session> {
        let until = Instant::now() + time;
        let mut state = self.lock();
        if state.count >= MAX_IDLE {
            return Some(session);
        }
        state.count += 1;
        state
            .idle
            .entry((session.peer.key.clone(), session.variant.clone()))
            .or_default()
            .push(Idle { session, until });
        if !state.sweeping {
            state.sweeping = true;
            tokio::spawn(sweep(Arc::downgrade(self), time));
        }
        None
    }

    /// Takes out what is over, and says when the next one will be.
    fn over(&self, now: Instant) -> (Vec<Session>, Option<Instant>) {
        let mut state = self.lock();
        let mut out = Vec::new();
        for list in state.idle.values_mut() {
            let n = list.iter().take_while(|i| i.until <= now).count();
            out.extend(list.drain(..n).map(|i| i.session));
        }
        state.idle.retain(|_, list| !list.is_empty());
        state.count -= out.len();
        let next = state.idle.values().filter_map(|l| l.first()).map(|i| i.until).min();
        state.sweeping = next.is_some();
        (out, next)
    }
}

/// Closes sessions as their time comes; ends when there are none left.
async fn sweep(pool: Weak<Pool>, first: Duration) {
    let mut next = Instant::now() + first;
    loop {
        tokio::time::sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        let (sessions, then) = pool.over(Instant::now());
        for session in sessions {
            tokio::spawn(session.quit());
        }
        match then {
            Some(then) => next = then,
            None => return,
        }
    }
}
