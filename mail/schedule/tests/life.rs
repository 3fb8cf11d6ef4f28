//! The life of messages that nobody takes, in virtual time: when they are tried, when the sender is warned, when they come
//! back. What is expected is written down from qmgr(8) and postconf(5), apart from the code.

use base_calls::{
    Change, DeliveryReport, Diagnosis, Envelope, Outcome, Progress, QueueId, Recipient, Timestamp,
};
use base_conf::{Config, MasterCf};
use mail_schedule::ScheduleConfig;
use mail_schedule::backlog::Backlog;
use mail_schedule::ledger::Ledger;
use proto_dsn::Status;
use std::collections::BTreeMap;
use std::time::Duration;

const START: u64 = 1_700_000_000;

/// What happened to one message, in seconds after its arrival.
#[derive(Debug, Default, PartialEq, Eq)]
struct Life {
    tried: Vec<u64>,
    warned: Vec<u64>,
    returned: Option<u64>,
}

/// A queue with scans at every `queue_run_delay`, whose messages are deferred whenever they are tried.
struct Queue {
    config: ScheduleConfig,
    backlog: Backlog,
    messages: BTreeMap<u32, (Envelope, Progress)>,
    lives: BTreeMap<u32, Life>,
}

impl Queue {
    fn new(main: &str) -> Self {
        let config =
            ScheduleConfig::from_config(&Config::from_text(main), &MasterCf::default()).expect("config");
        Self { config, backlog: Backlog::default(), messages: BTreeMap::new(), lives: BTreeMap::new() }
    }

    fn arrive(&mut self, slot: u32, sender: &str, now: u64) {
        let envelope = Envelope {
            sender: sender.into(),
            recipients: vec![Recipient::default()],
            arrival: Timestamp::from_secs(START + now),
            ..Envelope::default()
        };
        self.messages.insert(slot, (envelope, Progress::new(1)));
        self.backlog.push_incoming(QueueId { time: Timestamp(1), slot, long: false });
    }

    /// One attempt, as the driver makes it.
    fn attempt(&mut self, slot: u32, now: u64) {
        let Some((envelope, progress)) = self.messages.remove(&slot) else { return };
        let at = Timestamp::from_secs(START + now);
        let age = at.since(envelope.arrival).as_secs();
        let life = self.lives.entry(slot).or_default();
        life.tried.push(age);
        let mut ledger = Ledger::new(progress);
        let pending = ledger.take_pending(&envelope);
        let why = Box::new(Diagnosis::new(Status::new(4, 4, 1), "nobody is there"));
        let outcomes = vec![(0, Outcome::Deferred(why))];
        ledger.report(&pending, DeliveryReport { outcomes, ..DeliveryReport::default() });
        let verdict = ledger.verdict(at, &envelope, &self.config);
        if !verdict.delayed.is_empty() {
            ledger.warned();
            life.warned.push(age);
        }
        if !verdict.failed.is_empty() {
            ledger.noticed(&verdict.failed);
            life.returned = Some(age);
        }
        if ledger.is_finished() {
            return;
        }
        let again = ledger.retry(at, &envelope, &self.config);
        self.backlog.push_deferred(QueueId { time: Timestamp(1), slot, long: false }, again);
        let mut known = Progress::new(1);
        ledger.take_unsaved().iter().for_each(|change: &Change| known.apply(change));
        known.delay_warned = ledger.progress().delay_warned;
        self.messages.insert(slot, (envelope, known));
    }

    /// Scans until `end`.
    fn live(&mut self, end: u64) {
        let step = self.config.queue_run_delay.as_secs();
        for now in (0..=end).step_by(usize::try_from(step).expect("small")) {
            self.backlog.scan(Timestamp::from_secs(START + now));
            while let Some(entry) = self.backlog.pop() {
                self.attempt(entry.id().slot, now);
            }
        }
    }
}

/// The documented schedule: a message waits as long as it is old, within minimal_backoff_time and maximal_backoff_time, and is
/// tried with the next scan after that; it is returned when it is tried after its life time, the sender is warned at the
/// first attempt after delay_warning_time.
fn expected(scan: u64, minimal: u64, maximal: u64, lifetime: u64, warning: Option<u64>) -> Life {
    let mut life = Life::default();
    let mut now = 0;
    loop {
        life.tried.push(now);
        if warning.is_some_and(|w| now >= w) && life.warned.is_empty() && now < lifetime {
            life.warned.push(now);
        }
        if now >= lifetime {
            life.returned = Some(now);
            return life;
        }
        now = (now + now.clamp(minimal, maximal)).div_ceil(scan) * scan;
    }
}

#[test]
fn a_week_with_the_defaults() {
    let mut queue = Queue::new("delay_warning_time = 4h");
    queue.arrive(1, "alice@example.com", 0);
    queue.live(7 * 86_400);
    let life = &queue.lives[&1];
    assert_eq!(*life, expected(300, 300, 4000, 5 * 86_400, Some(4 * 3600)));
    assert_eq!(life.tried[..8], [0, 300, 600, 1200, 2400, 4800, 9000, 13_200]);
    assert!(queue.messages.is_empty());
}

#[test]
fn other_settings() {
    for (scan, minimal, maximal, lifetime, warning) in [
        (60, 60, 600, 3600, None),
        (1000, 300, 4000, 86_400, Some(3600)),
        (300, 900, 900, 0, None),
        (30, 1, 7200, 604_800, Some(1)),
    ] {
        let warn = warning.map_or(String::new(), |w| format!("delay_warning_time = {w}s\n"));
        let mut queue = Queue::new(&format!(
            "queue_run_delay = {scan}s\nminimal_backoff_time = {minimal}s\nmaximal_backoff_time = {maximal}s\nmaximal_queue_lifetime = {lifetime}s\nbounce_queue_lifetime = {lifetime}s\n{warn}"
        ));
        queue.arrive(1, "alice@example.com", 0);
        queue.live(8 * 86_400);
        assert_eq!(queue.lives[&1], expected(scan, minimal, maximal, lifetime, warning), "{scan}");
    }
}

#[test]
fn notices_have_a_life_time_of_their_own() {
    let mut queue = Queue::new("bounce_queue_lifetime = 1d");
    queue.arrive(1, "", 0);
    queue.arrive(2, "alice@example.com", 0);
    queue.live(7 * 86_400);
    let day = Duration::from_secs(86_400).as_secs();
    let returned = |slot: u32| queue.lives[&slot].returned.expect("returned");
    assert!((day..day + 4300).contains(&returned(1)) && (5 * day..5 * day + 4300).contains(&returned(2)));
}
