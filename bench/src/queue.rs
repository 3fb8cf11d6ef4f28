//! queue: a large queue of deferred messages: from the start to the first delivery, mailq, memory, deleting all.
//!
//! Both servers are filled by SMTP for the same time: ours until it has `--count` messages or [`LIMIT`] is over, then Postfix as long as
//! that took. Every message is deferred once, so each has what an attempt leaves behind. Nothing outlives a run: processes end and the
//! folder goes away, also on errors.

use crate::{
    instance::{Instance, Mta, Site, free_port},
    load,
    options::Options,
};
use anyhow::{Context, Result, bail};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    path::PathBuf,
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// The longest time for filling a queue.
const LIMIT: Duration = Duration::from_secs(1200);

/// The longest time for anything else.
const PATIENCE: Duration = Duration::from_secs(300);

/// Until the next attempt of the last message is due (`minimal_backoff_time`, in whole seconds).
const DUE: Duration = Duration::from_secs(2);

/// Fills the queues in turn and prints what each costs.
pub fn compare(options: &Options) -> Result<()> {
    let mut time = LIMIT;
    for mta in [Mta::Hikyaku, Mta::Postfix] {
        let figures = one(mta, options, time).with_context(|| mta.name())?;
        println!("{:8} {figures}", mta.name());
        time = figures.filled_in;
    }
    Ok(())
}

/// What a queue costs.
struct Figures {
    count: u64,
    filled_in: Duration,
    bytes_each: f64,
    mailq_first: Duration,
    mailq_all: Duration,
    ready: Duration,
    first_delivery: Duration,
    deleted_in: Duration,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} messages deferred in {:.0} s, {:.0} bytes of memory each; mailq: first line after {:.3} s, all after {:.2} s; \
             restart: ready after {:.2} s, first delivery after {:.2} s; postsuper -d ALL {:.2} s",
            self.count,
            self.filled_in.as_secs_f64(),
            self.bytes_each,
            self.mailq_first.as_secs_f64(),
            self.mailq_all.as_secs_f64(),
            self.ready.as_secs_f64(),
            self.first_delivery.as_secs_f64(),
            self.deleted_in.as_secs_f64()
        )
    }
}

fn one(mta: Mta, options: &Options, time: Duration) -> Result<Figures> {
    let nexthop = free_port()?;
    let instance = Instance::start(mta, options, nexthop)?;
    let mut log = Log::new(&instance.site);
    let empty = instance.memory_kib();
    let begin = Instant::now();
    let count = fill(&instance, options, time, &mut log)?;
    let filled_in = begin.elapsed();
    let bytes_each = (instance.memory_kib() - empty) * 1024.0 / count as f64;
    let (mailq_first, mailq_all) = mailq(&instance.site, count)?;
    sleep(DUE);
    let (site, _) = instance.stop()?;
    site.set(&["defer_transports=", "queue_run_delay=300s"])?;
    let (site, ready, first_delivery) = restart(site, nexthop, log)?;
    let deleted_in = delete_all(&site)?;
    Ok(Figures { count, filled_in, bytes_each, mailq_first, mailq_all, ready, first_delivery, deleted_in })
}

/// Sends messages until there are enough or the time is over; waits until all are deferred.
fn fill(instance: &Instance, options: &Options, time: Duration, log: &mut Log) -> Result<u64> {
    let (begin, mut sent, mut deferred) = (Instant::now(), 0, 0);
    let portion = (options.count / 50).clamp(500, 5_000).min(options.count.max(1));
    while sent < options.count && begin.elapsed() < time {
        let n = portion.min(options.count - sent);
        let status = load::source(instance.site.listen, n, options)?.wait()?;
        if !status.success() {
            bail!("smtp-source: {status}");
        }
        sent += n;
        deferred += log.count(" status=deferred ")?;
    }
    let end = Instant::now() + PATIENCE;
    while deferred < u64::from(sent) {
        if Instant::now() > end {
            bail!("{deferred} of {sent} messages are deferred");
        }
        sleep(Duration::from_millis(50));
        deferred += log.count(" status=deferred ")?;
    }
    Ok(deferred)
}

/// The times to the first message and to the end of the listing.
fn mailq(site: &Site, count: u64) -> Result<(Duration, Duration)> {
    let begin = Instant::now();
    let mut child = site.command("postqueue").arg("-p").stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("no output")?;
    let (mut first, mut messages) = (None, 0);
    for line in BufReader::new(output).split(b'\n') {
        if line?.first().is_some_and(u8::is_ascii_alphanumeric) {
            messages += 1;
            first.get_or_insert_with(|| begin.elapsed());
        }
    }
    child.wait()?;
    if messages != count {
        bail!("mailq lists {messages} of {count} messages");
    }
    Ok((first.unwrap_or_default(), begin.elapsed()))
}

/// Starts with a next hop that accepts; the times to the first connection and to the first delivery. Stopped again at once.
fn restart(site: Site, nexthop: u16, mut log: Log) -> Result<(Site, Duration, Duration)> {
    let mut sink = Sink(load::start_sink(nexthop, u32::MAX >> 1)?);
    log.count("")?;
    let begin = Instant::now();
    let instance = site.start()?;
    let ready = instance.ready;
    while log.count(" status=sent ")? == 0 {
        if begin.elapsed() > PATIENCE {
            bail!("nothing was delivered");
        }
        if let Some(status) = sink.0.try_wait()? {
            bail!("smtp-sink: {status}");
        }
        sleep(Duration::from_millis(5));
    }
    let first = begin.elapsed();
    Ok((instance.stop()?.0, ready, first))
}

/// `postsuper -d ALL` of a server that is stopped.
fn delete_all(site: &Site) -> Result<Duration> {
    // It may not write to the log of the server.
    site.set(&["maillog_file="])?;
    let begin = Instant::now();
    let output = site.command("postsuper").args(["-d", "ALL"]).output()?;
    let (taken, said) = (begin.elapsed(), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(taken) } else { bail!("postsuper: {said}") }
}

/// Ended when dropped.
struct Sink(Child);

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server's log, read as it grows.
struct Log {
    path: PathBuf,
    at: u64,
}

impl Log {
    fn new(site: &Site) -> Self {
        Self { path: site.dir.path().join("mail.log"), at: 0 }
    }

    /// How often whole new lines say `text`.
    fn count(&mut self, text: &str) -> Result<u64> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.at))?;
        let (mut file, mut found, mut line) = (BufReader::with_capacity(1 << 20, file), 0, Vec::new());
        while file.by_ref().take(1 << 20).read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            self.at += line.len() as u64;
            found += u64::from(String::from_utf8_lossy(&line).contains(text));
            line.clear();
        }
        Ok(found)
    }
}
