//! Measures commits and removals: `cargo run --release -p base-spool --example bench -- DIR [MESSAGES [SIZE [SESSIONS [keep]]]]`.
//! With `keep` the messages stay in the queue, so that the next run shows how long a start takes.

use base_calls::{Envelope, Recipient};
use base_spool::{FileSpool, Options, Spool};
use std::{path::Path, sync::Arc, time::Instant};

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().unwrap_or_else(|| "/tmp/spool-bench".into());
    let mut number = |default: usize| args.next().and_then(|a| a.parse().ok()).unwrap_or(default);
    let (messages, size, sessions) = (number(200_000), number(4096), number(100));
    let keep = args.next().is_some();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let start = Instant::now();
    let spool = Arc::new(FileSpool::open(Path::new(&dir), Options::default()).unwrap());
    println!("opened in {:.2} s: {:?}", start.elapsed().as_secs_f64(), spool.recovery());
    let start = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..sessions)
            .map(|_| tokio::spawn(session(spool.clone(), messages / sessions, size, keep)))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let secs = start.elapsed().as_secs_f64();
    let stats = spool.stats();
    println!(
        "{messages} messages of {size} bytes, {sessions} sessions: {:.2} s, {:.0}/s",
        secs,
        messages as f64 / secs
    );
    println!("{:.1} messages per sync; {stats:?}", messages as f64 / stats.syncs.max(1) as f64);
    let usage = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: Vec<u64> = usage
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse().ok())
        .collect();
    println!("cpu ticks (user, system): {ticks:?}");
}

async fn session(spool: Arc<FileSpool>, count: usize, size: usize, keep: bool) {
    let content = vec![b'x'; size];
    let recipient = Recipient { address: "user@example.com".into(), ..Recipient::default() };
    let envelope =
        Envelope { sender: "sender@example.org".into(), recipients: vec![recipient], ..Envelope::default() };
    for _ in 0..count {
        let mut draft = spool.draft(false).unwrap();
        draft.write(&content).unwrap();
        let message = spool.commit(draft, envelope.clone(), false).await.unwrap();
        if !keep {
            spool.remove(message.id).await.unwrap();
        }
    }
}
