//! The pure scheduler under virtual time: limits hold, everybody gets a turn, every recipient ends.

use base_calls::{Target, Timestamp};
use mail_schedule::core::{Batch, Core, Health, Job, RETRY, TransportLimits};
use mail_schedule::feedback::{Feedback, Rules};
use mail_schedule::slots::SlotRules;
use proptest::prelude::*;
use proto_dsn::Status;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

const LIMITS: TransportLimits = TransportLimits {
    rules: Rules {
        initial: 2,
        limit: 4,
        positive: Feedback::ONE,
        negative: Feedback::ONE,
        failed_cohorts: 1.0,
    },
    recipients: 3,
    slots: SlotRules { cost: 5, discount: 50, loan: 3, minimum: 3 },
    processes: 6,
    rate_delay: Duration::ZERO,
    transport_delay: Duration::ZERO,
    dead_time: Duration::from_secs(300),
    transport_dead_time: Duration::from_secs(60),
};

fn limits(name: &str) -> TransportLimits {
    match name {
        "one" => TransportLimits { recipients: 1, ..LIMITS },
        "lazy" => TransportLimits { transport_delay: Duration::from_secs(5), ..LIMITS },
        "slow" => TransportLimits {
            rate_delay: Duration::from_secs(5),
            rules: Rules { limit: 1, ..LIMITS.rules },
            ..LIMITS
        },
        _ => LIMITS,
    }
}

fn batch(message: u32, transport: &str, nexthop: &str, recipients: u32) -> Batch<u32> {
    let targets =
        (0..recipients).map(|index| Target { index, address: format!("{index}@{nexthop}") }).collect();
    Batch { message, transport: transport.into(), nexthop: nexthop.into(), targets }
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_000 + secs)
}

fn all(core: &mut Core<u32>, now: Timestamp) -> Vec<Job<u32>> {
    std::iter::from_fn(|| core.next(now)).collect()
}

fn show(jobs: &[Job<u32>]) -> Vec<String> {
    jobs.iter().map(|j| format!("{} {} {} {}", j.message, j.transport, j.nexthop, j.targets.len())).collect()
}

fn down() -> Health {
    Health::Down(Status::new(4, 4, 1), "refused".into())
}

#[test]
fn the_busiest_next_hops_come_first() {
    let mut core = Core::default();
    for (message, transport, hop, recipients) in [
        (1, "smtp", "a", 1),
        (2, "smtp", "b", 1),
        (3, "smtp", "b", 1),
        (4, "one", "c", 3),
        (5, RETRY, "text", 1),
    ] {
        core.submit(at(0), vec![batch(message, transport, hop, recipients)], &limits);
    }
    let show = |core: &Core<u32>, most| {
        let busy = core.busiest(most);
        busy.iter()
            .map(|b| format!("{} {} {}+{}", b.transport, b.nexthop, b.waiting, b.running))
            .collect::<Vec<_>>()
    };
    assert_eq!(show(&core, 9), ["one c 3+0", "smtp b 2+0", "smtp a 1+0"]);
    let jobs = all(&mut core, at(0));
    assert!(show(&core, 1).first().is_some_and(|first| first.ends_with("+3")), "{:?}", show(&core, 1));
    jobs.into_iter().for_each(|job| core.finish(at(1), job.ticket, Health::Up, &limits));
    assert_eq!(show(&core, 9), [""; 0]);
}

#[test]
fn messages_go_in_the_order_of_arrival() {
    let mut core = Core::default();
    core.submit(at(0), vec![batch(1, "smtp", "a", 30)], &limits);
    core.submit(at(0), vec![batch(2, "smtp", "a", 2)], &limits);
    let mut jobs = all(&mut core, at(0));
    assert_eq!(show(&jobs), ["1 smtp a 3", "1 smtp a 3"], "ten deliveries earn no three slots");
    core.finish(at(1), jobs.remove(0).ticket, Health::Unknown, &limits);
    assert_eq!(show(&all(&mut core, at(1))), ["1 smtp a 3"]);
}

#[test]
fn small_messages_go_past_big_ones() {
    let mut core = Core::default();
    core.submit(at(0), vec![batch(1, "smtp", "a", 100)], &limits);
    core.submit(at(0), vec![batch(2, "smtp", "b", 100)], &limits);
    core.submit(at(0), vec![batch(3, "smtp", "c", 1)], &limits);
    assert_eq!(
        show(&all(&mut core, at(0))),
        ["1 smtp a 3", "3 smtp c 1", "1 smtp a 3", "2 smtp b 3", "2 smtp b 3"],
        "what has no room is passed over"
    );
}

/// The order in which messages of these sizes (deliveries) are delivered one after the other, with slots as given.
fn order(slots: SlotRules, sizes: &[u32]) -> String {
    let limits = |_: &str| TransportLimits { processes: 1, recipients: 2, slots, ..LIMITS };
    let mut core = Core::default();
    for (message, size) in (1u32..).zip(sizes) {
        core.submit(at(0), vec![batch(message, "smtp", "a", size * 2)], &limits);
    }
    let mut out = String::new();
    while let Some(job) = core.next(at(1)) {
        out.push_str(&job.message.to_string());
        core.finish(at(1), job.ticket, Health::Up, &limits);
    }
    out
}

/// The examples of SCHEDULER_README.
#[test]
fn documented_orders() {
    let rules = |cost, discount, loan| SlotRules { cost, discount, loan, minimum: 1 };
    assert_eq!(order(rules(0, 0, 0), &[4, 1, 1, 2]), "11112344");
    assert_eq!(order(rules(2, 0, 0), &[10, 2, 2]), "11112211113311");
    assert_eq!(order(rules(2, 50, 0), &[10, 2, 2]), "11221111331111");
    assert_eq!(order(rules(2, 0, 0), &[8, 1, 1, 1]), "11211311411".to_owned());
}

/// However many small messages come, a big one is delayed by no more than cost / (cost - 1); and they do not wait for it.
#[test]
fn a_huge_mailing_holds_nobody_up_and_is_not_held_up() {
    let limits = |_: &str| TransportLimits { processes: 4, recipients: 1, ..LIMITS };
    let mut core = Core::default();
    core.submit(at(0), vec![batch(0, "smtp", "list", 10_000)], &limits);
    let (mut step, mut big, mut small, mut longest) = (0u64, 0u32, 0u32, 0u64);
    let mut came: HashMap<u32, u64> = HashMap::new();
    let mut running: VecDeque<Job<u32>> = VecDeque::new();
    while big < 10_000 {
        step += 1;
        if step.is_multiple_of(7) {
            let n = u32::try_from(step).expect("small");
            came.insert(n, step);
            core.submit(at(step), vec![batch(n, "smtp", &format!("h{n}"), 1)], &limits);
        }
        running.extend(all(&mut core, at(step)));
        let job = running.pop_front().expect("work is left");
        match came.get(&job.message) {
            Some(since) => (small, longest) = (small + 1, longest.max(step - since)),
            None => big += 1,
        }
        core.finish(at(step), job.ticket, Health::Up, &limits);
    }
    assert!(step <= 10_000 * 5 / 4, "{step}");
    assert!(small > 1_400 && longest <= 20, "{small} {longest}");
}

#[test]
fn one_recipient_each_means_a_destination_each() {
    let mut core = Core::default();
    core.submit(at(0), vec![batch(1, "one", "a", 4)], &limits);
    let jobs = all(&mut core, at(0));
    assert_eq!(jobs.len(), 4);
    assert!(jobs.iter().all(|j| j.targets.len() == 1 && &*j.nexthop == "a"));
}

#[test]
fn a_dead_destination_sends_its_mail_to_retry_until_the_time_is_over() {
    let mut core = Core::default();
    core.submit(at(0), vec![batch(1, "smtp", "a", 9)], &limits);
    let jobs = all(&mut core, at(0));
    assert_eq!(jobs.len(), 2);
    for job in jobs {
        core.finish(at(1), job.ticket, down(), &limits);
    }
    let text = "4.4.1 delivery temporarily suspended: refused";
    assert_eq!(show(&all(&mut core, at(1))), [format!("1 retry {text} 3")]);
    core.submit(at(300), vec![batch(2, "smtp", "a", 1)], &limits);
    core.submit(at(300), vec![batch(2, "smtp", "b", 1)], &limits);
    assert_eq!(show(&all(&mut core, at(300))), [format!("2 retry {text} 1"), "2 smtp b 1".into()]);
    core.submit(at(302), vec![batch(3, "smtp", "a", 1)], &limits);
    assert_eq!(show(&all(&mut core, at(302))), ["3 smtp a 1"]);
}

#[test]
fn flush_revives() {
    let mut core = Core::default();
    core.submit(at(0), vec![batch(1, "smtp", "a", 6)], &limits);
    for job in all(&mut core, at(0)) {
        core.finish(at(1), job.ticket, down(), &limits);
    }
    core.submit(at(1), vec![batch(2, "nosuch", "x", 1)], &limits);
    for job in all(&mut core, at(1)) {
        core.finish(at(1), job.ticket, Health::NoTransport(Status::new(4, 3, 0), "no".into()), &limits);
    }
    core.revive(at(2));
    core.submit(at(2), vec![batch(2, "smtp", "a", 1)], &limits);
    core.submit(at(2), vec![batch(2, "nosuch", "a", 1)], &limits);
    assert_eq!(show(&all(&mut core, at(2))), ["2 smtp a 1", "2 nosuch a 1"]);
}

#[test]
fn a_missing_transport_is_left_alone_for_a_minute() {
    let mut core = Core::default();
    core.submit(at(0), vec![batch(1, "nosuch", "a", 8)], &limits);
    core.submit(at(0), vec![batch(1, "nosuch", "b", 1)], &limits);
    let job = core.next(at(0)).expect("a job");
    core.finish(
        at(0),
        job.ticket,
        Health::NoTransport(Status::new(4, 3, 0), "mail transport unavailable".into()),
        &limits,
    );
    let jobs = all(&mut core, at(0));
    assert_eq!(
        show(&jobs),
        ["1 retry 4.3.0 mail transport unavailable 3", "1 retry 4.3.0 mail transport unavailable 2"]
    );
    jobs.into_iter().for_each(|j| core.finish(at(0), j.ticket, Health::Up, &limits));
    assert_eq!(show(&all(&mut core, at(0))), ["1 retry 4.3.0 mail transport unavailable 1"]);
    core.submit(at(59), vec![batch(2, "nosuch", "a", 1)], &limits);
    assert_eq!(show(&all(&mut core, at(59))), ["2 retry 4.3.0 mail transport unavailable 1"]);
    core.submit(at(61), vec![batch(2, "nosuch", "a", 1)], &limits);
    assert_eq!(show(&all(&mut core, at(61))), ["2 nosuch a 1"]);
}

#[test]
fn rate_delay_between_deliveries() {
    let mut core = Core::default();
    core.submit(at(0), vec![batch(1, "slow", "a", 6)], &limits);
    let job = core.next(at(0)).expect("first");
    assert!(core.next(at(0)).is_none());
    core.finish(at(1), job.ticket, Health::Up, &limits);
    assert!(core.next(at(1)).is_none());
    assert_eq!(core.next_tick(), Some(at(6)));
    core.tick(at(5));
    assert!(core.next(at(5)).is_none());
    core.tick(at(6));
    assert!(core.next(at(6)).is_some());
}

#[test]
fn a_transport_rests_between_deliveries() {
    let mut core = Core::default();
    core.submit(at(0), vec![batch(1, "lazy", "a", 1)], &limits);
    core.submit(at(0), vec![batch(2, "lazy", "b", 1)], &limits);
    let mut jobs = all(&mut core, at(0));
    assert_eq!(show(&jobs), ["1 lazy a 1"], "one at a time, whatever the destination");
    core.finish(at(1), jobs.remove(0).ticket, Health::Up, &limits);
    assert!(core.next(at(1)).is_none());
    core.submit(at(2), vec![batch(3, "lazy", "c", 1)], &limits);
    assert!(core.next(at(2)).is_none());
    core.tick(at(5));
    assert!(core.next(at(5)).is_none());
    assert_eq!(core.next_tick(), Some(at(6)));
    core.tick(at(6));
    assert_eq!(show(&all(&mut core, at(6))), ["2 lazy b 1"]);
}

#[test]
fn idle_destinations_are_forgotten() {
    let mut core = Core::default();
    for i in 0..5_000 {
        core.submit(at(i), vec![batch(1, "smtp", &format!("d{i}"), 1)], &limits);
        let job = core.next(at(i)).expect("a job");
        core.finish(at(i), job.ticket, Health::Up, &limits);
    }
    assert!(core.destinations() <= 1_001, "{}", core.destinations());
}

#[test]
fn dead_destinations_are_forgotten_in_time() {
    let mut core = Core::default();
    let mut dead = 0;
    for i in 0..100 {
        core.submit(at(0), vec![batch(1, "smtp", &format!("d{i}"), 6)], &limits);
        for job in all(&mut core, at(0)) {
            let health = if &*job.transport == RETRY {
                Health::Up
            } else {
                dead += 1;
                down()
            };
            core.finish(at(0), job.ticket, health, &limits);
        }
        for job in all(&mut core, at(0)) {
            core.finish(at(0), job.ticket, Health::Up, &limits);
        }
    }
    assert_eq!(dead, 200);
    assert!(core.destinations() >= 100);
    core.tick(at(301));
    assert!(core.destinations() <= 1, "{}", core.destinations());
}

#[derive(Debug, Clone)]
enum Step {
    Submit { transport: u8, hop: u8, recipients: u32 },
    Finish { which: usize, end: u8 },
    Wait(u64),
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u8..4, 0u8..5, 1u32..12).prop_map(|(transport, hop, recipients)| Step::Submit { transport, hop, recipients }),
        6 => (any::<usize>(), 0u8..8).prop_map(|(which, end)| Step::Finish { which, end }),
        1 => (0u64..400).prop_map(Step::Wait),
        1 => Just(Step::Flush),
    ];
    proptest::collection::vec(step, 1..150)
}

/// What the outside may check of a run.
#[derive(Default)]
struct World {
    core: Core<u32>,
    running: Vec<Job<u32>>,
    open: HashMap<u32, u32>,
    now: u64,
}

impl World {
    fn start(&mut self) {
        while let Some(job) = self.core.next(at(self.now)) {
            self.running.push(job);
        }
        let mut by_transport: HashMap<Arc<str>, u32> = HashMap::new();
        let mut by_hop: HashMap<(Arc<str>, Arc<str>), u32> = HashMap::new();
        for job in &self.running {
            assert!(!job.targets.is_empty() && job.targets.len() <= limits(&job.transport).recipients);
            *by_transport.entry(job.transport.clone()).or_default() += 1;
            let key = match &*job.transport {
                "one" => job.targets[0].address.as_str().into(),
                _ => job.nexthop.clone(),
            };
            *by_hop.entry((job.transport.clone(), key)).or_default() += 1;
        }
        for (t, n) in by_transport {
            assert!(n <= limits(&t).processes, "{t}: {n} processes");
        }
        for ((t, hop), n) in by_hop {
            assert!(n <= limits(&t).rules.limit, "{t}:{hop}: {n} at once");
        }
    }

    fn finish(&mut self, which: usize, end: u8) {
        if self.running.is_empty() {
            return;
        }
        let job = self.running.swap_remove(which % self.running.len());
        let own = &*job.transport == RETRY;
        let health = match end {
            0..=3 => Health::Up,
            4 => Health::Unknown,
            7 if !own => {
                let gone = Health::NoTransport(Status::new(4, 3, 0), "gone".into());
                self.core.finish(at(self.now), job.ticket, gone, &limits);
                let again = Batch {
                    message: job.message,
                    transport: job.transport,
                    nexthop: job.nexthop,
                    targets: job.targets,
                };
                return self.core.submit(at(self.now), vec![again], &limits);
            }
            _ if own => Health::Up,
            _ => down(),
        };
        *self.open.get_mut(&job.message).expect("known") -= job.targets.len() as u32;
        self.core.finish(at(self.now), job.ticket, health, &limits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever happens, limits hold; and when deliveries go on ending, every recipient gets its delivery.
    #[test]
    fn limits_hold_and_all_end(steps in steps()) {
        let mut w = World::default();
        for (n, step) in (0u32..).zip(steps) {
            match step {
                Step::Submit { transport, hop, recipients } => {
                    w.open.insert(n, recipients);
                    let transport = ["smtp", "one", "slow", "lmtp"][usize::from(transport)];
                    w.core.submit(at(w.now), vec![batch(n, transport, &format!("h{hop}"), recipients)], &limits);
                }
                Step::Finish { which, end } => w.finish(which, end),
                Step::Wait(secs) => {
                    w.now += secs;
                    w.core.tick(at(w.now));
                }
                Step::Flush => w.core.revive(at(w.now)),
            }
            w.start();
        }
        for _ in 0..5_000 {
            w.now += 1;
            w.core.tick(at(w.now));
            w.start();
            while !w.running.is_empty() {
                w.finish(0, 0);
            }
        }
        prop_assert!(w.open.values().all(|&n| n == 0), "left: {:?}", w.open);
    }

    /// A small message gets its turn soon, however much else waits: a big one lets it pass, small ones are few.
    #[test]
    fn nobody_starves(others in 1u32..20, recipients in 1u32..200) {
        let mut core = Core::default();
        for i in 0..others {
            core.submit(at(0), vec![batch(i, "smtp", "a", recipients)], &limits);
        }
        core.submit(at(0), vec![batch(99, "smtp", "a", 1)], &limits);
        let mut rounds = 0;
        let mut running: VecDeque<Job<u32>> = all(&mut core, at(0)).into();
        while let Some(job) = running.pop_front() {
            if job.message == 99 {
                break;
            }
            rounds += 1;
            core.finish(at(0), job.ticket, Health::Up, &limits);
            running.extend(all(&mut core, at(0)));
        }
        prop_assert!(rounds <= others * 15, "{rounds}");
    }
}
