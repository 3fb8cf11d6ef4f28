//! idle: many connections that only wait; memory and the time to the banner.

use crate::{
    instance::{Instance, Mta, free_port},
    options::Options,
};
use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Runs both servers in turn; Postfix with 200 connections at most, since it needs a process for each.
pub fn compare(options: &Options) -> Result<()> {
    allow_descriptors(u64::from(options.sessions) + 100)?;
    for mta in [Mta::Postfix, Mta::Hikyaku] {
        let n = if mta == Mta::Postfix { options.sessions.min(200) } else { options.sessions };
        one(mta, &Options { sessions: n, ..options.clone() })?;
    }
    Ok(())
}

fn one(mta: Mta, options: &Options) -> Result<()> {
    let instance = Instance::start(mta, options, free_port()?)?;
    let before = instance.memory_kib();
    let begin = Instant::now();
    let mut open = Vec::with_capacity(options.sessions as usize);
    let mut slowest = Duration::ZERO;
    for i in 0..options.sessions {
        let start = Instant::now();
        let s = TcpStream::connect(instance.site.listen).with_context(|| format!("connection {i}"))?;
        s.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut s = BufReader::with_capacity(256, s);
        let mut banner = String::new();
        s.read_line(&mut banner)?;
        slowest = slowest.max(start.elapsed());
        open.push(s);
    }
    let each = (instance.memory_kib() - before) / f64::from(options.sessions);
    println!(
        "{:8} {} idle connections in {:.1} s: {:.1} KiB each, {:.0} MiB in all, slowest banner {:.1} ms",
        mta.name(),
        open.len(),
        begin.elapsed().as_secs_f64(),
        each,
        instance.memory_kib() / 1024.0,
        slowest.as_secs_f64() * 1000.0
    );
    drop(open);
    instance.stop()?;
    Ok(())
}

/// Both ends of a connection count: ours here, the server's in its own process, which inherits the limit.
fn allow_descriptors(wanted: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).context("too few file descriptors")?;
    }
    Ok(())
}
