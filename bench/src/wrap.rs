//! `bench wrap FILE COMMAND ARG…`: runs a server and writes what it and all its descendants used.
//!
//! The wrapper is a child subreaper: daemons that lose their parent become its children, so the kernel adds their
//! usage to ours when they end.

use anyhow::{Context, Result};
use nix::sys::{
    resource::{Usage, UsageWho, getrusage},
    time::TimeValLike,
    wait::wait,
};
use std::{fs, process::Command};

/// The command's entry.
pub fn run(args: &[String]) -> Result<()> {
    let [file, program, rest @ ..] = args else { anyhow::bail!("wrap FILE COMMAND …") };
    nix::sys::prctl::set_child_subreaper(true)?;
    Command::new(program).args(rest).spawn().with_context(|| format!("cannot start {program}"))?;
    while !matches!(wait(), Err(nix::errno::Errno::ECHILD)) {}
    let u = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    fs::write(file, usage_json(&u).to_string())?;
    Ok(())
}

fn usage_json(u: &Usage) -> serde_json::Value {
    serde_json::json!({
        "cpu_us": u.user_time().num_microseconds() + u.system_time().num_microseconds(),
        "switches": u.voluntary_context_switches() + u.involuntary_context_switches(),
        "peak_kib": u.max_rss(),
    })
}
