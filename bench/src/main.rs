//! `bench --prefix DIR MODE [--sessions N] [--count N] [--size N] [--runs N] [--rules N] [--persistent]`: measures Debian's Postfix and Hikyaku in turn.
//!
//! Called by `cargo xtask bench`. Every run has an instance of its own (configuration, queue, ports on 127.0.0.1) below
//! `$BENCH_DIR` (default /var/tmp, which must be a real disk). Only processes started here are ended. Figures are whole-process
//! accounting by the kernel (getrusage of everything the server started); ratios count, since machines are noisy.

mod disk;
mod idle;
mod instance;
mod load;
mod options;
mod queue;
mod report;
mod tables;
mod wrap;

use anyhow::{Result, bail};
use options::Options;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|a| a == "wrap") {
        return wrap::run(&args[1..]);
    }
    let options = Options::parse(&args)?;
    if !nix::unistd::geteuid().is_root() {
        bail!("Postfix can only be started by root; run this as root");
    }
    match options.mode.as_str() {
        "relay" | "accept" | "local" => load::compare(&options),
        "queue" => queue::compare(&options),
        "idle" => idle::compare(&options),
        "tables" => tables::compare(&options),
        other => bail!("unknown mode {other:?}: relay, accept, local, queue, idle or tables"),
    }
}
