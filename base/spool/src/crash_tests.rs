//! The writer is stopped between every two steps, by a kill and by loss of power; then the spool starts again.
//!
//! Promise: what was acknowledged is there, complete and once; what was removed and synced does not come back; what was
//! refused may be there only if nobody could be told (the process died first); nothing panics; and the next start finds
//! the same.

use crate::{
    FileSpool, Options, Spool, SpoolError,
    sim::{Faults, Rng, SimDisk},
    tests::{bytes, envelope, put, wait},
};
use base_calls::{Change, Diagnosis, Progress, QueueId, RecipientState};
use std::{
    collections::BTreeMap,
    sync::Arc,
    task::{Context, Waker},
};

fn options() -> Options {
    Options { segment_size: 32 << 10, large_threshold: 6 << 10, on_damage: None }
}

fn open(disk: &SimDisk) -> Result<FileSpool, SpoolError> {
    FileSpool::open_on(Arc::new(disk.clone()), options(), &std::collections::HashSet::new())
}

/// What the outside world knows of a message.
#[derive(Debug, Clone, Default)]
struct Known {
    content: Vec<u8>,
    /// Acknowledged.
    committed: bool,
    /// A commit was tried and refused while the disk worked.
    refused: bool,
    /// Removal was asked for.
    removing: bool,
    /// Removal is known to be durable (a synced operation came after it).
    removed: bool,
    /// The state after the last synced change, and how many changes came after it.
    synced: usize,
    changes: Vec<Change>,
}

type World = BTreeMap<QueueId, Known>;

/// Sizes that make small, large and many messages.
fn content(n: u64) -> Vec<u8> {
    let size = match n % 7 {
        0 => 9000,
        1 => 0,
        k => 700 * k as usize,
    };
    (0..size).map(|i| (n as usize * 31 + i) as u8).collect()
}

/// A fixed run of operations. Ends early when the disk is dead.
fn work(spool: &FileSpool, world: &mut World, steps: u64, rng: &mut Rng) {
    for n in 0..steps {
        let live: Vec<QueueId> =
            world.iter().filter(|(_, k)| k.committed && !k.removing).map(|(i, _)| *i).collect();
        let pick = live.get((rng.next() % live.len().max(1) as u64) as usize).copied();
        match (rng.next() % 10, pick) {
            (0..=4, _) | (_, None) => commit(spool, world, n),
            (5..=6, Some(id)) => {
                if wait(spool.remove(id)).is_ok() {
                    world.get_mut(&id).unwrap().removing = true;
                }
            }
            (k, Some(id)) => change(spool, world, id, n, k == 7),
        }
    }
}

/// Everything that was asked for before a successful sync is durable.
fn all_synced(world: &mut World) {
    for known in world.values_mut() {
        known.removed |= known.removing;
        known.synced = known.changes.len();
    }
}

fn commit(spool: &FileSpool, world: &mut World, n: u64) {
    let content = content(n);
    let Ok(mut draft) = spool.draft(true) else { return };
    let id = draft.id();
    world.insert(id, Known { content: content.clone(), ..Known::default() });
    if draft.write(&content).is_err() {
        return;
    }
    match wait(spool.commit(draft, envelope(2), n.is_multiple_of(5))) {
        Ok(_) => {
            world.get_mut(&id).unwrap().committed = true;
            all_synced(world);
        }
        Err(_) => world.get_mut(&id).unwrap().refused = true,
    }
}

fn change(spool: &FileSpool, world: &mut World, id: QueueId, n: u64, sync: bool) {
    let reason = Diagnosis::new("4.4.1".parse().unwrap(), format!("attempt {n}"));
    let changes = vec![Change::Deferred((n % 2) as u32, Box::new(reason)), Change::Held(n.is_multiple_of(3))];
    let ok = wait(spool.change(id, changes.clone(), sync)).is_ok();
    let known = world.get_mut(&id).unwrap();
    known.changes.extend(changes);
    if ok && sync {
        all_synced(world);
    }
}

fn progress(held: bool, changes: &[Change]) -> Progress {
    let mut p = Progress::new(2);
    p.held = held;
    changes.iter().for_each(|c| p.apply(c));
    p
}

/// Checks the promise against what a start found.
fn check(spool: &FileSpool, world: &World, what: &str, may_have_refused: bool) {
    assert_eq!(spool.recovery().damage, vec![], "{what}");
    let listed = spool.list(0, usize::MAX);
    for summary in &listed {
        let known =
            world.get(&summary.id).unwrap_or_else(|| panic!("{what}: unknown message {}", summary.id));
        assert!(!known.removed, "{what}: {} came back", summary.id);
        assert!(may_have_refused || !known.refused, "{what}: {} was refused", summary.id);
        let (message, found) =
            wait(spool.load(summary.id)).unwrap_or_else(|e| panic!("{what}: {}: {e}", summary.id));
        assert_eq!(bytes(&message.content), known.content, "{what}: {}", summary.id);
        assert_eq!((summary.held, &message.envelope), (found.held, &envelope(2)), "{what}");
        let any = (known.synced..=known.changes.len()).any(|n| {
            [false, true]
                .iter()
                .any(|held| progress(*held, &known.changes[..n]).recipients == found.recipients)
        });
        assert!(any, "{what}: {}: {found:?} is not one of the states after {:?}", summary.id, known.changes);
    }
    for (id, known) in world.iter().filter(|(_, k)| k.committed && !k.removing) {
        assert!(listed.iter().any(|s| s.id == *id), "{what}: {id} is lost: {known:?}");
    }
}

fn run_with(faults: Faults, seed: u64, steps: u64) -> (SimDisk, World) {
    let disk = SimDisk::new(faults);
    let mut world = World::new();
    if let Ok(spool) = open(&disk) {
        work(&spool, &mut world, steps, &mut Rng(seed));
        drop(spool);
    }
    (disk, world)
}

/// Starts again and again from what a stop left, each time with a kill or a power loss.
fn restart(disk: &SimDisk, world: &World, what: &str, rng: &mut Rng) {
    let killed = disk.crash(None);
    let spool = open(&killed).unwrap_or_else(|e| panic!("{what}: {e}"));
    check(&spool, world, &format!("{what}, killed"), true);
    drop(spool);
    for round in 0..3 {
        let found = disk.crash(Some(rng));
        let what = format!("{what}, power lost {round}");
        let first: Vec<_> = {
            let spool = open(&found).unwrap_or_else(|e| panic!("{what}: {e}"));
            check(&spool, world, &what, true);
            spool.list(0, usize::MAX)
        };
        let again = open(&found.crash(Some(rng))).unwrap();
        assert_eq!(again.list(0, usize::MAX), first, "{what}: the second start differs");
        check(&again, world, &format!("{what}, second start"), true);
        put(&again, b"new").unwrap();
    }
}

#[test]
fn stop_between_every_two_steps() {
    for seed in [1u64, 77] {
        let (disk, _) = run_with(Faults::default(), seed, 60);
        let total = disk.ops();
        assert!(total > 100, "{total}");
        for stop in 1..=total {
            let (disk, world) = run_with(Faults { stop_at: Some(stop), ..Faults::default() }, seed, 60);
            disk.set_faults(Faults::default());
            restart(
                &disk,
                &world,
                &format!("seed {seed}, stopped at step {stop}"),
                &mut Rng(stop * 7 + seed),
            );
        }
    }
}

#[test]
fn a_long_run_with_compaction_stopped_anywhere() {
    for seed in 1..=60u64 {
        let mut rng = Rng(seed * 1_000_003);
        let stop = 1 + rng.next() % 1500;
        let (disk, world) = run_with(Faults { stop_at: Some(stop), ..Faults::default() }, seed, 400);
        disk.set_faults(Faults::default());
        restart(&disk, &world, &format!("seed {seed}, stopped at {stop}"), &mut rng);
    }
}

#[test]
fn commits_that_wait_share_a_sync() {
    let disk = SimDisk::new(Faults::default());
    let spool = open(&disk).unwrap();
    let draft = || {
        let mut draft = spool.draft(true).unwrap();
        draft.write(b"x").unwrap();
        draft
    };
    let mut commits: Vec<_> = (0..50).map(|_| spool.commit(draft(), envelope(1), false)).collect();
    let before = disk.syncs();
    let mut asked = Context::from_waker(Waker::noop());
    disk.while_still(|| {
        assert!(commits.iter_mut().all(|commit| commit.as_mut().poll(&mut asked).is_pending()));
    });
    for commit in commits {
        wait(commit).unwrap();
    }
    let syncs = disk.syncs() - before;
    assert!((1..10).contains(&syncs), "{syncs} syncs of 50 messages");
}

#[test]
fn a_failed_sync_or_write_refuses_and_loses_nothing() {
    let (disk, _) = run_with(Faults::default(), 5, 40);
    let (syncs, writes) = (disk.syncs(), disk.writes());
    let syncs = (1..=syncs).map(|n| Faults { fail_sync: Some(n), ..Faults::default() });
    let writes = (1..=writes).map(|n| Faults { fail_write: Some(n), ..Faults::default() });
    for faults in syncs.chain(writes) {
        let (disk, world) = run_with(faults, 5, 40);
        disk.set_faults(Faults::default());
        let what = format!("{faults:?}");
        let spool = open(&disk.crash(None)).unwrap();
        check(&spool, &world, &what, false);
        drop(spool);
        restart(&disk, &world, &what, &mut Rng(9));
        assert!(world.values().any(|k| k.committed), "{what}: nothing works any more");
    }
}

#[test]
fn a_full_disk_refuses_mail_but_deliveries_go_on() {
    let disk = SimDisk::new(Faults { room: Some(200 << 10), ..Faults::default() });
    let spool = open(&disk).unwrap();
    let mut kept = Vec::new();
    let refused = loop {
        match put(&spool, &[b'x'; 3000]) {
            Ok(id) => kept.push(id),
            Err(e) => break e,
        }
    };
    assert!(matches!(refused, SpoolError::Full), "{refused}");
    assert!(kept.len() > 30, "{}", kept.len());
    for id in kept.iter().step_by(2) {
        wait(spool.change(*id, vec![Change::Held(true)], true)).unwrap();
    }
    for id in &kept {
        wait(spool.remove(*id)).unwrap();
    }
    let mut tries = 0;
    while let Err(e) = put(&spool, &[b'y'; 3000]) {
        assert!(matches!(e, SpoolError::Full), "{e}");
        tries += 1;
        assert!(tries < 2000, "does not recover: {:?}", spool.stats());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(spool);
    let spool = open(&disk.crash(None)).unwrap();
    assert_eq!(spool.stats().messages, 1);
}

#[test]
fn a_full_disk_of_tiny_messages_is_emptied() {
    let disk = SimDisk::new(Faults { room: Some(400 << 10), ..Faults::default() });
    let spool = open(&disk).unwrap();
    let mut kept = Vec::new();
    while let Ok(id) = put(&spool, b"x") {
        kept.push(id);
    }
    // More removals than the reserve holds.
    assert!(kept.len() * 48 > 40 << 10, "{}", kept.len());
    kept.iter().for_each(|id| wait(spool.remove(*id)).unwrap());
    let mut tries = 0;
    while let Err(e) = put(&spool, b"y") {
        assert!(matches!(e, SpoolError::Full), "{e}");
        tries += 1;
        assert!(tries < 300, "{:?}", spool.stats());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(spool);
    assert_eq!(open(&disk.crash(None)).unwrap().stats().messages, 1);
}

#[test]
fn on_a_full_disk_sparse_segments_make_room() {
    let disk = SimDisk::new(Faults { room: Some(500 << 10), ..Faults::default() });
    let spool = open(&disk).unwrap();
    let mut kept = Vec::new();
    while let Ok(id) = put(&spool, &[b'x'; 3000]) {
        kept.push(id);
    }
    for id in kept.extract_if(.., |id| id.slot % 4 != 0).collect::<Vec<_>>() {
        wait(spool.remove(id)).unwrap();
    }
    let before = spool.stats();
    let mut tries = 0;
    for _ in 0..40 {
        while let Err(e) = put(&spool, &[b'y'; 3000]) {
            assert!(matches!(e, SpoolError::Full), "{e}");
            tries += 1;
            assert!(tries < 300, "no room is made: {before:?} {:?}", spool.stats());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    drop(spool);
    let spool = open(&disk.crash(None)).unwrap();
    assert_eq!(spool.stats().messages, kept.len() as u64 + 40);
    kept.iter().for_each(|id| assert_eq!(wait(spool.load(*id)).unwrap().0.content.len(), 3000));
}

#[test]
fn damage_is_set_aside_once_and_never_stops_the_start() {
    let (disk, world) = run_with(Faults::default(), 3, 60);
    let mut rng = Rng(4711);
    let segments: Vec<String> = disk.names().into_iter().filter(|n| n.starts_with("segments/")).collect();
    for round in 0..300 {
        let hurt = disk.crash(None);
        let name = &segments[(rng.next() % segments.len() as u64) as usize];
        let size = hurt.bytes(name).len().max(1) as u64;
        hurt.damage(name, (rng.next() % size) as usize);
        let spool = open(&hurt).unwrap_or_else(|e| panic!("round {round}: {e}"));
        let mut good = 0;
        for summary in spool.list(0, usize::MAX) {
            match wait(spool.load(summary.id)) {
                Ok((message, _)) => {
                    assert_eq!(bytes(&message.content), world[&summary.id].content, "round {round}");
                    good += 1;
                }
                Err(SpoolError::Corrupt(_)) => {}
                Err(e) => panic!("round {round}: {e}"),
            }
        }
        assert_eq!(spool.stats().messages, good, "round {round}");
        drop(spool);
        let again = open(&hurt.crash(None)).unwrap();
        assert_eq!(again.recovery().damage, vec![], "round {round}: reported twice");
    }
}

#[test]
fn the_state_after_a_clean_stop_is_exact() {
    for seed in 1..20 {
        let (disk, mut world) = run_with(Faults::default(), seed, 400);
        all_synced(&mut world);
        let mut rng = Rng(seed);
        for round in 0..6 {
            let spool = open(&disk.crash(Some(&mut rng))).unwrap();
            check(&spool, &world, &format!("seed {seed}, power lost {round}"), false);
            let touched = world.iter().filter(|(_, k)| k.committed && !k.removed && !k.changes.is_empty());
            for (id, _) in touched {
                let found = wait(spool.load(*id)).unwrap().1;
                assert!(found.recipients.iter().any(|r| !matches!(r, RecipientState::Pending)));
            }
        }
    }
}

#[test]
fn what_was_in_a_freed_segment_stays_gone() {
    let disk = SimDisk::new(Faults::default());
    let spool = open(&disk).unwrap();
    let mut rng = Rng(11);
    let mut last: Vec<QueueId> = Vec::new();
    for _ in 0..60 {
        let new: Vec<QueueId> =
            (0..2 + rng.next() % 12).map(|_| put(&spool, &[b'z'; 2500]).unwrap()).collect();
        for id in std::mem::replace(&mut last, new) {
            wait(spool.remove(id)).unwrap();
        }
        put(&spool, b"sync").map(|id| last.push(id)).unwrap();
        for _ in 0..8 {
            let after = open(&disk.crash(Some(&mut rng))).unwrap();
            let mut found: Vec<QueueId> = after.list(0, 10000).iter().map(|s| s.id).collect();
            found.sort();
            let mut expected = last.clone();
            expected.sort();
            assert_eq!(found, expected);
        }
    }
    assert!(spool.stats().free_segments > 0);
}

#[test]
fn what_nobody_waited_for_outlives_a_kill() {
    let disk = SimDisk::new(Faults::default());
    let spool = open(&disk).unwrap();
    let stay = put(&spool, b"stays").unwrap();
    for n in 0..300u32 {
        let go = put(&spool, b"goes").unwrap();
        wait(spool.remove(go)).unwrap();
        wait(spool.change(stay, vec![Change::Held(n.is_multiple_of(2))], false)).unwrap();
        // Every now and then more than a half has room for: then a kill in the same turn, or the next, may take it.
        let text = "x".repeat(if n.is_multiple_of(50) { 5000 } else { 10 });
        let reason = Diagnosis::new("4.4.1".parse().unwrap(), text);
        if n.is_multiple_of(3) {
            wait(spool.change(stay, vec![Change::Deferred(0, Box::new(reason))], false)).unwrap();
        }
        let mut killed = disk.crash(None);
        for round in 0..2 {
            let again = open(&killed).unwrap();
            if n % 50 > 1 {
                assert_eq!(again.list(0, 10).iter().map(|s| s.id).collect::<Vec<_>>(), [stay], "{n} {round}");
                assert_eq!(again.list(0, 1)[0].held, n.is_multiple_of(2), "{n} {round}");
            }
            // Killed at once, or only after a while; then there is nothing more to be done again.
            killed = disk_after(&killed, again, round == 0);
        }
    }
}

fn disk_after(disk: &SimDisk, spool: FileSpool, at_once: bool) -> SimDisk {
    if at_once {
        return disk.crash(None);
    }
    drop(spool);
    disk.crash(None)
}

/// `SEEDS=5000 cargo test -p base-spool -- --ignored campaign`: everything at once, for a long time.
#[test]
#[ignore = "long"]
fn campaign() {
    let seeds = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(300u64);
    let from = std::env::var("FROM").ok().and_then(|s| s.parse().ok()).unwrap_or(1_000u64);
    for seed in from..from + seeds {
        let mut rng = Rng(seed * 7_777_777 + 13);
        let mut some = |most: u64| (rng.next().is_multiple_of(2)).then(|| 1 + rng.next() % most);
        let faults = Faults {
            stop_at: some(1200),
            fail_sync: some(150),
            fail_write: some(300),
            room: some(400 << 10).map(|r| r + (120 << 10)),
        };
        let (disk, world) = run_with(faults, seed, 300);
        disk.set_faults(Faults::default());
        restart(&disk, &world, &format!("seed {seed}, {faults:?}"), &mut rng);
    }
}
