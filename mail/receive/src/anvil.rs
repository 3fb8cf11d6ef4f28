//! Counting clients (anvil(8)): connections at the same time, and connections, messages, recipients per time unit.
//!
//! One handle for all services of the server. Entries go away when a client has no connection and its time unit is over; at
//! most [`MAX_CLIENTS`] are kept, and a client that finds no room is not counted.

use base_calls::Timestamp;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The most clients that are counted.
const MAX_CLIENTS: usize = 200_000;

/// The least time between two searches for those that are gone, when there is no room.
const SWEEP: Duration = Duration::from_secs(1);

/// What is counted per time unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A connection.
    Connection,
    /// MAIL FROM.
    Message,
    /// RCPT TO.
    Recipient,
    /// A new TLS session, not one that goes on.
    NewTls,
    /// AUTH.
    Auth,
}

/// How many kinds of events there are.
const EVENTS: usize = 5;

#[derive(Debug, Clone, Copy)]
struct Counts {
    open: u32,
    since: Instant,
    events: [u32; EVENTS],
}

type Key = (Arc<str>, Box<str>);

#[derive(Debug, Default)]
struct State {
    clients: HashMap<Key, Counts>,
    /// The largest numbers since the last report, in the order of [`WHAT`].
    peaks: [Option<Peak>; WHAT.len()],
    last_event: Option<Instant>,
    /// When those that are gone were looked for.
    swept: Option<Instant>,
}

/// The largest number of a kind.
#[derive(Debug)]
struct Peak {
    value: u32,
    /// `service:client`, or nothing.
    client: String,
    unit: Duration,
    at: Timestamp,
}

/// What the peaks are of, as in the log.
const WHAT: [&str; EVENTS + 2] = [
    "connection rate",
    "message rate",
    "recipient rate",
    "newtls rate",
    "auth rate",
    "connection count",
    "cache size",
];
/// The order of the log.
const ORDER: [usize; EVENTS + 2] = [0, 5, 1, 2, 3, 4, 6];
const COUNT: usize = 5;
const CACHE: usize = 6;

/// The counters.
#[derive(Debug, Clone, Default)]
pub struct Anvil {
    state: Arc<Mutex<State>>,
}

/// An open connection; dropping it counts it out.
#[derive(Debug)]
pub struct Connection {
    anvil: Anvil,
    key: Key,
    unit: Duration,
}

/// What the counters say after one more event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Open connections.
    pub open: u32,
    /// Events of this kind in this time unit.
    pub rate: u32,
}

impl Anvil {
    /// No client yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client connected to `service`; `unit` is `anvil_rate_time_unit`.
    pub fn connect(
        &self,
        service: &Arc<str>,
        client: &str,
        unit: Duration,
        now: Instant,
    ) -> (Connection, Counted) {
        let key = (Arc::clone(service), Box::from(client));
        let connection = Connection { anvil: self.clone(), key, unit };
        let counted = connection.count(Event::Connection, 1, now);
        (connection, counted)
    }

    /// Somebody who is no client did this (`login`, `sender`): how often so far in this time unit.
    pub fn event(&self, kind: &str, name: &str, event: Event, unit: Duration, now: Instant) -> u32 {
        self.lock().count(&(Arc::from(kind), Box::from(name)), event, 0, unit, now).rate
    }

    /// The largest numbers since the last call as log lines (`statistics: max connection rate 1/60s for (smtp:192.0.2.1)
    /// at Nov  7 03:04:05`).
    pub fn take_statistics(&self) -> Vec<String> {
        let peaks = std::mem::take(&mut self.lock().peaks);
        let line = |i: usize| {
            let p = peaks.get(i)?.as_ref()?;
            let (what, value, at) = (WHAT.get(i)?, p.value, p.at.log_date());
            Some(match i {
                COUNT => format!("statistics: max {what} {value} for ({}) at {at}", p.client),
                CACHE => format!("statistics: max {what} {value} at {at}"),
                _ => {
                    let unit = p.unit.as_secs();
                    format!("statistics: max {what} {value}/{unit}s for ({}) at {at}", p.client)
                }
            })
        };
        ORDER.into_iter().filter_map(line).collect()
    }

    /// Whether nobody is connected, and nothing has happened for so long.
    pub fn is_idle(&self, time: Duration, now: Instant) -> bool {
        let state = self.lock();
        state.clients.values().all(|c| c.open == 0)
            && state.last_event.is_none_or(|t| now.saturating_duration_since(t) >= time)
    }

    /// How many clients are known.
    pub fn len(&self) -> usize {
        self.lock().clients.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, key: &Key, event: Event, open: u32, unit: Duration, now: Instant) -> Counted {
        if !self.clients.contains_key(key) {
            self.make_room(unit, now);
            if self.clients.len() >= MAX_CLIENTS {
                return Counted { open: 0, rate: 0 };
            }
        }
        let fresh = Counts { open: 0, since: now, events: [0; EVENTS] };
        let c = self.clients.entry(key.clone()).or_insert(fresh);
        if now.saturating_duration_since(c.since) >= unit {
            (c.since, c.events) = (now, [0; EVENTS]);
        }
        c.open += open;
        let n = &mut c.events[event as usize];
        *n = n.saturating_add(1);
        let counted = Counted { open: c.open, rate: *n };
        let client = || format!("{}:{}", key.0, key.1);
        self.peak(event as usize, counted.rate, unit, client);
        if counted.open > 0 {
            self.peak(COUNT, counted.open, unit, client);
        }
        self.peak(CACHE, u32::try_from(self.clients.len()).unwrap_or(u32::MAX), unit, String::new);
        self.last_event = Some(now);
        counted
    }

    fn peak(&mut self, which: usize, value: u32, unit: Duration, client: impl Fn() -> String) {
        if let Some(p) = self.peaks.get_mut(which)
            && p.as_ref().is_none_or(|p| value > p.value)
        {
            *p = Some(Peak { value, client: client(), unit, at: Timestamp::now() });
        }
    }

    /// Now and then, forgets those that are gone.
    fn make_room(&mut self, unit: Duration, now: Instant) {
        let len = self.clients.len();
        let full = len >= MAX_CLIENTS && self.swept.is_none_or(|t| now.saturating_duration_since(t) >= SWEEP);
        if len >= 1024 && len.is_power_of_two() || full {
            self.swept = Some(now);
            self.clients.retain(|_, c| c.open > 0 || now.saturating_duration_since(c.since) < unit);
        }
    }

    fn closed(&mut self, key: &Key, unit: Duration, now: Instant) {
        let Some(c) = self.clients.get_mut(key) else { return };
        c.open = c.open.saturating_sub(1);
        if c.open == 0 && now.saturating_duration_since(c.since) >= unit {
            self.clients.remove(key);
        }
    }
}

impl Connection {
    fn count(&self, event: Event, open: u32, now: Instant) -> Counted {
        self.anvil.lock().count(&self.key, event, open, self.unit, now)
    }

    /// How often the client did this in its time unit so far.
    pub fn rate(&self, event: Event, now: Instant) -> u32 {
        let state = self.anvil.lock();
        let fresh = |c: &&Counts| now.saturating_duration_since(c.since) < self.unit;
        let counts = state.clients.get(&self.key).filter(fresh);
        counts.and_then(|c| c.events.get(event as usize).copied()).unwrap_or(0)
    }

    /// The client did this.
    pub fn event(&self, event: Event, now: Instant) -> u32 {
        self.count(event, 0, now).rate
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.anvil.lock().closed(&self.key, self.unit, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_forgets() {
        let (anvil, unit, t0) = (Anvil::new(), Duration::from_secs(60), Instant::now());
        let service: Arc<str> = "smtp".into();
        let (a, n) = anvil.connect(&service, "192.0.2.1", unit, t0);
        assert_eq!(n, Counted { open: 1, rate: 1 });
        let (b, n) = anvil.connect(&service, "192.0.2.1", unit, t0);
        assert_eq!(n, Counted { open: 2, rate: 2 });
        assert_eq!(anvil.connect(&service, "192.0.2.2", unit, t0).1, Counted { open: 1, rate: 1 });
        drop(b);
        assert_eq!((a.event(Event::Message, t0), a.event(Event::Message, t0)), (1, 2));
        assert_eq!(a.event(Event::Message, t0 + unit), 1);
        let (_c, n) = anvil.connect(&service, "192.0.2.1", unit, t0 + unit);
        assert_eq!(n, Counted { open: 2, rate: 1 });
        let lines = anvil.take_statistics();
        let starts: Vec<&str> = lines.iter().filter_map(|l| l.split_once(" at ")).map(|(s, _)| s).collect();
        // R-LIMIT-1
        assert_eq!(
            starts,
            [
                "statistics: max connection rate 2/60s for (smtp:192.0.2.1)",
                "statistics: max connection count 2 for (smtp:192.0.2.1)",
                "statistics: max message rate 2/60s for (smtp:192.0.2.1)",
                "statistics: max cache size 2",
            ]
        );
        assert!(anvil.take_statistics().is_empty());
        assert!(!anvil.is_idle(unit, t0 + 3 * unit));
        drop((a, _c));
        assert!(anvil.is_idle(unit, t0 + 3 * unit) && !anvil.is_idle(unit, t0 + unit));
    }
}
