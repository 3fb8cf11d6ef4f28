//! relay, accept and local: messages per second and what each costs.

use crate::{
    disk,
    instance::{Instance, Mta, free_port},
    options::Options,
    report::{Report, Row},
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Longest run.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs both servers in turn and prints the table.
pub fn compare(options: &Options) -> Result<()> {
    let mut report = Report::new(options);
    for n in 1..=options.runs {
        for mta in [Mta::Postfix, Mta::Hikyaku] {
            let row = one(mta, options).with_context(|| format!("{} run {n}", mta.name()))?;
            println!("{}", row.line(mta, n));
            report.add(mta, row);
        }
    }
    println!("{report}");
    Ok(())
}

fn one(mta: Mta, options: &Options) -> Result<Row> {
    let nexthop = free_port()?;
    let mut sink = if options.mode == "relay" { Some(start_sink(nexthop, options.count)?) } else { None };
    let instance = Instance::start(mta, options, nexthop)?;
    let before = disk::written();
    let begin = Instant::now();
    let status = source(instance.site.listen, options.count, options)?.wait()?;
    if !status.success() {
        bail!("smtp-source: {status}");
    }
    let accepted = begin.elapsed();
    match options.mode.as_str() {
        "relay" => wait_sink(&mut sink, begin)?,
        "local" => wait_maildir(&instance.site.dir.path().join("vmail/box/new"), options.count, begin)?,
        _ => {}
    }
    let all = begin.elapsed();
    let (_, used) = instance.stop()?;
    Ok(Row::new(options.count, accepted, all, disk::written() - before, used))
}

/// A next hop that ends after `count` messages.
pub fn start_sink(port: u16, count: u32) -> Result<Child> {
    Command::new("/usr/sbin/smtp-sink")
        .args(["-u", "postfix", "-M", &count.to_string(), &format!("127.0.0.1:{port}"), "1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("smtp-sink (Debian package postfix)")
}

/// A client that sends so many messages.
pub fn source(to: SocketAddr, count: u32, options: &Options) -> Result<Child> {
    let mut c = Command::new("/usr/sbin/smtp-source");
    c.args(["-s", &options.sessions.to_string(), "-m", &count.to_string()]);
    c.args(["-l", &options.size.to_string(), "-f", "from@example.com", "-t", "to@example.org"]);
    if options.persistent {
        c.arg("-d");
    }
    c.arg(format!("inet:{to}")).stdout(Stdio::null());
    c.spawn().context("smtp-source (Debian package postfix)")
}

fn wait_sink(sink: &mut Option<Child>, begin: Instant) -> Result<()> {
    let Some(sink) = sink else { return Ok(()) };
    while sink.try_wait()?.is_none() {
        if begin.elapsed() > LIMIT {
            sink.kill()?;
            bail!("the sink does not have all messages after {LIMIT:?}");
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn wait_maildir(new: &Path, count: u32, begin: Instant) -> Result<()> {
    while fs::read_dir(new).map_or(0, Iterator::count) < count as usize {
        if begin.elapsed() > LIMIT {
            bail!("the Maildir does not have all messages after {LIMIT:?}");
        }
        sleep(Duration::from_millis(20));
    }
    Ok(())
}
