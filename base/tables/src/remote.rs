//! Tables behind a server: a few threads ask, each over a connection of its own, and no session waits for another's.
//!
//! A type gives a [`Client`] (one connection, blocking, with its own time limits for each operation) and gets a [`Table`].
//! Threads start when lookups come and end after [`Settings::idle`] without one, and their connection with them. At most
//! [`Settings::connections`] lookups are on the way, [`MAX_WAITING`] wait for their turn, and no longer than
//! [`Settings::wait`]: a server that hangs costs its own askers time and nobody else. No async runtime is needed:
//! tokio and [`crate::block_on`] both work. Failure is an error with the client's reason, never "not found".

use crate::TableError;
use crate::fold::fold_if;
use crate::table::{Answer, Fut, Table};
use crate::types::Open;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The most lookups that wait for a connection of one table.
const MAX_WAITING: usize = 2000;

/// One connection to a table's server, used for one lookup at a time.
pub trait Client: Send {
    /// Looks `key` up; connects first when there is no connection. Every operation in it must have a time limit. The error
    /// is the reason that postmap shows after `query error: `.
    fn ask(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String>;
}

/// Makes a client that is not connected yet.
pub type MakeClient = Box<dyn Fn() -> Box<dyn Client> + Send + Sync>;

/// The bounds of one table.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Lookups at the same time, each with its connection.
    pub connections: usize,
    /// How long a lookup may wait for its turn.
    pub wait: Duration,
    /// How long a connection is kept without a lookup.
    pub idle: Duration,
    /// The table sees whole keys only, as regexp tables do.
    pub pattern: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        let (wait, idle) = (Duration::from_secs(100), Duration::from_secs(10));
        Settings { connections: 8, wait, idle, pattern: false }
    }
}

/// A table behind a server.
pub struct Remote {
    spec: String,
    fold: bool,
    pattern: bool,
    pool: Arc<Pool>,
}

impl Remote {
    /// The table; nothing is connected before the first lookup.
    pub fn open(open: &Open<'_>, settings: Settings, make: MakeClient) -> Remote {
        let usage = open.usage;
        Remote {
            spec: open.spec.to_owned(),
            fold: if settings.pattern { usage.fold_patterns } else { usage.fold },
            pattern: settings.pattern,
            pool: Arc::new(Pool { settings, make, state: Mutex::default(), work: Condvar::new() }),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.pool.state().closed = true;
        self.pool.work.notify_all();
    }
}

impl Table for Remote {
    fn spec(&self) -> &str {
        &self.spec
    }

    fn lookup_now(&self, _key: &[u8]) -> Option<Answer> {
        None
    }

    fn lookup<'a>(&'a self, key: &'a [u8]) -> Fut<'a, Answer> {
        let asked = fold_if(self.fold, key, |key| self.pool.submit(key));
        Box::pin(async move {
            let answer = match asked {
                Ok(promise) => promise.await,
                Err(reason) => Err(reason),
            };
            answer.map_err(|reason| TableError { table: self.spec.clone(), reason })
        })
    }

    fn is_pattern(&self) -> bool {
        self.pattern
    }
}

type Outcome = Result<Option<Vec<u8>>, String>;

struct Pool {
    settings: Settings,
    make: MakeClient,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads with a lookup in hand; the others are free, or will be in a moment.
    busy: usize,
    closed: bool,
}

struct Job {
    key: Vec<u8>,
    due: Instant,
    answer: Arc<Slot>,
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(self: &Arc<Self>, key: &[u8]) -> Result<Promise, String> {
        let answer = Arc::new(Slot::default());
        let job =
            Job { key: key.to_vec(), due: Instant::now() + self.settings.wait, answer: Arc::clone(&answer) };
        let mut state = self.state();
        if state.jobs.len() >= MAX_WAITING {
            return Err("too many lookups are waiting for the server".to_owned());
        }
        state.jobs.push_back(job);
        let free = state.threads.saturating_sub(state.busy);
        if free < state.jobs.len() && state.threads < self.settings.connections.max(1) {
            let pool = Arc::clone(self);
            let spawned =
                std::thread::Builder::new().name("table".to_owned()).spawn(move || pool.serve()).is_ok();
            state.threads += usize::from(spawned);
            if state.threads == 0 {
                state.jobs.clear();
                return Err("Resource temporarily unavailable".to_owned());
            }
        }
        drop(state);
        self.work.notify_one();
        Ok(Promise(answer))
    }

    /// A thread: one client, until there is nothing to do for a while.
    fn serve(&self) {
        let mut count = Count { pool: self, busy: false };
        let mut client = (self.make)();
        while let Some(job) = self.next() {
            count.busy = true;
            if Arc::strong_count(&job.answer) == 1 {
                count.free();
                continue;
            }
            let outcome = match job.due <= Instant::now() {
                true => Err("Connection timed out".to_owned()),
                false => client.ask(&job.key),
            };
            // Free again before the asker knows: its next lookup needs no other thread.
            count.free();
            job.answer.set(outcome);
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        let until = Instant::now() + self.settings.idle;
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.busy += 1;
                return Some(job);
            }
            let left = until.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                // In the same breath: nobody may count on a thread that is about to leave.
                state.threads = state.threads.saturating_sub(1);
                return None;
            }
            state = self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Counts a thread out, also when it panicked.
struct Count<'a> {
    pool: &'a Pool,
    busy: bool,
}

impl Count<'_> {
    /// The lookup in hand is done.
    fn free(&mut self) {
        if std::mem::replace(&mut self.busy, false) {
            let mut state = self.pool.state();
            state.busy = state.busy.saturating_sub(1);
        }
    }
}

impl Drop for Count<'_> {
    /// A thread that leaves in order has counted itself out; this is for one that panicked.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        self.free();
        let mut state = self.pool.state();
        state.threads = state.threads.saturating_sub(1);
        if state.threads == 0 {
            state.jobs.clear();
        }
    }
}

/// Where an outcome comes to.
#[derive(Default)]
struct Slot(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

impl Slot {
    fn set(&self, outcome: Outcome) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.outcome = Some(outcome);
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Job {
    /// A thread that panicked, or a table that was dropped, leaves nobody waiting.
    fn drop(&mut self) {
        let unanswered = self.answer.0.lock().unwrap_or_else(PoisonError::into_inner).outcome.is_none();
        if unanswered {
            self.answer.set(Err("the lookup was given up".to_owned()));
        }
    }
}

struct Promise(Arc<Slot>);

impl Future for Promise {
    type Output = Outcome;

    fn poll(self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut waiting = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = waiting.outcome.take() {
            return Poll::Ready(outcome);
        }
        waiting.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Tables, Usage, block_on};
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Fake(Arc<AtomicUsize>);

    impl Client for Fake {
        fn ask(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
            self.0.fetch_add(1, Ordering::SeqCst);
            match key {
                b"panic" => panic!("on purpose"),
                b"slow" => std::thread::sleep(Duration::from_millis(30)),
                b"bad" => return Err("server says no".to_owned()),
                _ => (),
            }
            Ok((key != b"none").then(|| key.to_vec()))
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            self.0.fetch_add(1000, Ordering::SeqCst);
        }
    }

    fn remote(settings: Settings) -> (Arc<AtomicUsize>, Remote) {
        let tables = Tables::new(Options::default());
        let open = Open { tables: &tables, spec: "fake:x", name: "x", usage: Usage::LOOKUP };
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        (count, Remote::open(&open, settings, Box::new(move || Box::new(Fake(Arc::clone(&seen))))))
    }

    #[test]
    fn answers_and_failures() {
        let (_, table) = remote(Settings::default());
        assert_eq!(block_on(table.lookup(b"Key")), Ok(Some(b"key".to_vec())));
        assert_eq!(block_on(table.lookup(b"none")), Ok(None));
        assert_eq!(block_on(table.lookup(b"bad")).unwrap_err().reason, "server says no");
        assert!(block_on(table.lookup(b"panic")).is_err());
        assert_eq!(block_on(table.lookup(b"again")), Ok(Some(b"again".to_vec())));
    }

    #[test]
    fn slow_lookups_do_not_hold_up_others() {
        let (_, table) = remote(Settings { connections: 2, ..Settings::default() });
        let slow = table.lookup(b"slow");
        assert_eq!(block_on(table.lookup(b"quick")), Ok(Some(b"quick".to_vec())));
        assert_eq!(block_on(slow), Ok(Some(b"slow".to_vec())));
    }

    #[test]
    fn lookups_one_after_another_need_one_thread() {
        let (_, table) = remote(Settings::default());
        for _ in 0..200 {
            assert!(block_on(table.lookup(b"a")).is_ok());
            assert_eq!(table.pool.state().threads, 1);
        }
    }

    #[test]
    fn one_that_waits_too_long_fails() {
        // None waits at all: where the answer is that of the time limit, the server was not asked.
        let (count, table) = remote(Settings { connections: 1, wait: Duration::ZERO, ..Settings::default() });
        let (one, other) = (table.lookup(b"slow"), table.lookup(b"late"));
        assert_eq!(block_on(one).unwrap_err().reason, "Connection timed out");
        assert_eq!(block_on(other).unwrap_err().reason, "Connection timed out");
        assert_eq!(count.load(Ordering::SeqCst), 0);
        // As long as the limit is not over, an answer comes.
        let (_, table) = remote(Settings { connections: 1, ..Settings::default() });
        let (one, other) = (table.lookup(b"slow"), table.lookup(b"late"));
        assert!(block_on(one).is_ok() && block_on(other).is_ok());
    }

    #[test]
    fn threads_end_with_the_table_and_when_idle() {
        let (count, table) = remote(Settings { idle: Duration::from_millis(1), ..Settings::default() });
        assert!(block_on(table.lookup(b"a")).is_ok());
        while count.load(Ordering::SeqCst) != 1001 {
            std::thread::yield_now();
        }
        let (count, table) = remote(Settings::default());
        assert!(block_on(table.lookup(b"a")).is_ok());
        drop(table);
        while count.load(Ordering::SeqCst) != 1001 {
            std::thread::yield_now();
        }
    }
}
