//! hikyaku-submit: the two commands with a setgid right, `postdrop` and `postqueue`, in one executable.
//!
//! Which one is decided by the end of the name it is called by (a copy or link may have any name that ends so), or by the
//! first argument: `hikyaku-submit postdrop`. Everything that the caller controls is suspect: arguments, environment,
//! descriptors, the bytes on standard input. Links next to nothing.

mod postdrop;
mod postqueue;

use base_sys::daemon;
use std::{ffi::OsString, path::Path, process::ExitCode};

type Main = fn(&[OsString]) -> ExitCode;

fn main() -> ExitCode {
    let _ = daemon::secure_standard();
    let mut args = std::env::args_os();
    let own = args.next().unwrap_or_default();
    let rest: Vec<OsString> = args.collect();
    let called = Path::new(&own).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(run) = command(&called) {
        return run(&rest);
    }
    match rest.split_first() {
        Some((first, rest)) if command(&first.to_string_lossy()).is_some() => {
            command(&first.to_string_lossy()).map_or(ExitCode::FAILURE, |run| run(rest))
        }
        _ => {
            eprintln!("usage: hikyaku-submit postdrop|postqueue [argument...]");
            ExitCode::FAILURE
        }
    }
}

fn command(name: &str) -> Option<Main> {
    match name {
        n if n.ends_with("postdrop") => Some(postdrop::main),
        n if n.ends_with("postqueue") => Some(postqueue::main),
        _ => None,
    }
}
