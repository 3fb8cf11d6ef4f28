//! Nothing that was acknowledged is lost: load from many sessions, the server hurt in every way at random moments, restart, count.
//!
//! A message that the next hop had acknowledged may come a second time only if it was in flight at a kill. `cargo xtask torture` runs
//! the last test for as long as wanted and prints its figures.

#[path = "common/server.rs"]
mod server;

use server::{Received, Server, sink};
use std::{
    collections::HashSet,
    env,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

const SESSIONS: usize = 20;

/// Sends one message over a connection; `true` when the server took responsibility.
fn send(server: SocketAddr, subject: &str) -> std::io::Result<bool> {
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut out = stream.try_clone()?;
    let mut replies = BufReader::new(stream);
    let mut expect = |code: &str| -> std::io::Result<()> {
        loop {
            let mut line = String::new();
            if replies.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return if line.starts_with(code) { Ok(()) } else { Err(std::io::Error::other(line)) };
            }
        }
    };
    expect("220")?;
    out.write_all(b"EHLO load\r\n")?;
    expect("250")?;
    out.write_all(b"MAIL FROM:<from@example.com>\r\nRCPT TO:<to@example.org>\r\nDATA\r\n")?;
    expect("250")?;
    expect("250")?;
    expect("354")?;
    let body = "x".repeat(76) + "\r\n";
    out.write_all(format!("Subject: {subject}\r\n\r\n{}.\r\n", body.repeat(50)).as_bytes())?;
    expect("250")?;
    Ok(true)
}

struct Load {
    acknowledged: Mutex<HashSet<String>>,
    next: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    fn run(&self, server: SocketAddr, total: usize) {
        while !self.stop.load(Ordering::SeqCst) {
            let n = self.next.fetch_add(1, Ordering::SeqCst);
            if n >= total {
                return;
            }
            let subject = format!("message {n}");
            match send(server, &subject) {
                Ok(_) => drop(self.acknowledged.lock().unwrap().insert(subject)),
                Err(_) => sleep(Duration::from_millis(20)),
            }
        }
    }
}

fn wait_for(received: &Received, wanted: &HashSet<String>, limit: Duration) -> Vec<String> {
    let end = Instant::now() + limit;
    loop {
        let got = received.subjects.lock().unwrap();
        let missing: Vec<String> = wanted.iter().filter(|w| !got.contains_key(*w)).cloned().collect();
        drop(got);
        if missing.is_empty() || Instant::now() > end {
            return missing;
        }
        sleep(Duration::from_millis(100));
    }
}

fn scale(name: &str, usual: usize) -> usize {
    env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual)
}

#[test]
fn every_message_arrives_once() {
    let total = scale("HIKYAKU_LOAD_MESSAGES", 2000);
    let (nexthop, received) = sink();
    let mut server = Server::configure(nexthop, "");
    server.start();
    let load =
        Load { acknowledged: Mutex::default(), next: AtomicUsize::new(0), stop: AtomicBool::new(false) };
    let listen = server.listen;
    // Reloads under load drop no session.
    thread::scope(|s| {
        (0..SESSIONS).for_each(|_| drop(s.spawn(|| load.run(listen, total))));
        for _ in 0..5 {
            sleep(Duration::from_millis(100));
            server.reload();
        }
    });
    let acknowledged = load.acknowledged.into_inner().unwrap();
    assert_eq!(acknowledged.len(), total, "refused without reason: {}", server.log());
    let missing = wait_for(&received, &acknowledged, Duration::from_secs(60));
    assert!(missing.is_empty(), "{} lost: {missing:?}\n{}", missing.len(), server.log());
    // What would be delivered a second time is, before it ends.
    server.stop();
    let twice = received.subjects.lock().unwrap().values().filter(|n| **n > 1).count();
    assert_eq!(twice, 0, "delivered twice");
}

#[test]
fn nothing_acknowledged_is_lost_by_kill() {
    let kills = scale("HIKYAKU_KILLS", 4);
    let (nexthop, received) = sink();
    let mut server = Server::configure(nexthop, "");
    server.start();
    let load =
        Load { acknowledged: Mutex::default(), next: AtomicUsize::new(0), stop: AtomicBool::new(false) };
    let listen = server.listen;
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    thread::scope(|s| {
        (0..SESSIONS).for_each(|_| drop(s.spawn(|| load.run(listen, usize::MAX))));
        for k in 0..kills {
            let wait = 300 + u64::from(seed.rotate_left(k as u32 * 7) % 700);
            sleep(Duration::from_millis(wait));
            server.kill();
            server.start();
        }
        load.stop.store(true, Ordering::SeqCst);
    });
    let acknowledged = load.acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > 50, "hardly any load: {}", acknowledged.len());
    let missing = wait_for(&received, &acknowledged, Duration::from_secs(90));
    assert!(
        missing.is_empty(),
        "{} of {} lost: {missing:?}\n{}",
        missing.len(),
        acknowledged.len(),
        server.log()
    );
    let twice = received.subjects.lock().unwrap().values().filter(|n| **n > 1).count();
    assert!(twice <= (kills + 1) * SESSIONS, "{twice} delivered twice: more than were in flight");
    println!("{} messages acknowledged, {kills} kills, {twice} came twice", acknowledged.len());
}

/// Ways to hurt a server, and what each did.
#[derive(Debug, Default)]
struct Hurt {
    killed: usize,
    killed_one: usize,
    stopped: usize,
    reloaded: usize,
    slowest_start: Duration,
}

impl Hurt {
    fn once(&mut self, server: &mut Server, dice: u64) {
        match dice % 6 {
            0 | 1 => server.kill(),
            2 => return self.one(server, "hikyaku-worker"),
            3 => return self.one(server, "hikyaku-courier"),
            4 => server.stop(),
            _ => {
                server.reload();
                self.reloaded += 1;
                return;
            }
        }
        if dice % 6 == 4 {
            self.stopped += 1
        } else {
            self.killed += 1
        }
        let from = Instant::now();
        server.start();
        self.slowest_start = self.slowest_start.max(from.elapsed());
    }

    fn one(&mut self, server: &Server, name: &str) {
        self.killed_one += usize::from(server.kill_one(name));
    }
}

/// A generator of moments and choices (xorshift); the seed is printed.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn torture() {
    let limit = Duration::from_secs(scale("HIKYAKU_TORTURE_SECONDS", 6) as u64);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = scale("HIKYAKU_TORTURE_SEED", now.subsec_nanos() as usize | 1) as u64;
    let (nexthop, received) = sink();
    received.later.store(2, Ordering::Relaxed);
    let mut server = Server::configure(nexthop, "maximal_backoff_time = 4s\n");
    server.start();
    let load =
        Load { acknowledged: Mutex::default(), next: AtomicUsize::new(0), stop: AtomicBool::new(false) };
    let (listen, mut dice, mut hurt) = (server.listen, seed, Hurt::default());
    thread::scope(|s| {
        (0..SESSIONS).for_each(|_| drop(s.spawn(|| load.run(listen, usize::MAX))));
        let end = Instant::now() + limit;
        while Instant::now() < end {
            sleep(Duration::from_millis(200 + next(&mut dice) % 1300));
            hurt.once(&mut server, next(&mut dice));
        }
        load.stop.store(true, Ordering::SeqCst);
    });
    received.later.store(0, Ordering::Relaxed);
    let acknowledged = load.acknowledged.into_inner().unwrap();
    let missing = wait_for(&received, &acknowledged, Duration::from_secs(120));
    let subjects = received.subjects.lock().unwrap();
    let more: usize = subjects.values().map(|n| n - 1).sum();
    println!(
        "seed {seed}: {} accepted, {} delivered, {} lost, {more} deliveries more than one; {hurt:?}",
        acknowledged.len(),
        subjects.len(),
        missing.len()
    );
    assert!(acknowledged.len() > 20, "hardly any load: {}", server.log());
    assert!(missing.is_empty(), "{} lost: {missing:?}\n{}", missing.len(), server.log());
    let ends = hurt.killed + hurt.killed_one + hurt.stopped;
    assert!(more <= (ends + 1) * SESSIONS, "{more} delivered twice: more than were in flight");
}
