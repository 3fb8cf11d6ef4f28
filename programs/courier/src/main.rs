//! hikyaku-courier: deliveries that are done as another user (local(8), virtual(8), pipe(8)).
//!
//! Started by master, as root when the server runs as root. It listens on `private/courier` for the worker only, reads
//! main.cf and master.cf itself, decides by mail/deposit what a request comes to, and has it done by children that have
//! become the recipient's user for good before they see a message. Links no TLS, no DNS, no HTTP, and no async runtime.

mod child;
mod connection;
mod frame;
mod gate;
mod lookups;
mod pool;
mod serve;
mod settings;

use base_sys::{daemon, process};
use std::process::ExitCode;

fn main() -> ExitCode {
    let _ = daemon::secure_standard();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.split_first() {
        Some((first, rest)) if first == child::ARGUMENT => {
            let _ = process::unblock_signals();
            child::run(rest)
        }
        _ => serve::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("courier: fatal: {e:#}");
            ExitCode::FAILURE
        }
    }
}
