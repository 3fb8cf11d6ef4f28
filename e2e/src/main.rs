//! `e2e FILE NAME theirs|ours PROGRAMS`: runs one scenario in the namespaces that the caller made; the outcome goes to standard output
//! as JSON. Started by tests/parity.rs through unshare(1), never by hand.

use anyhow::{Context, Result, bail};
use std::{env, fs, path::Path, process::ExitCode};
use testkit::{Side, scenario, world};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("e2e: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [file, name, side, programs] = args.as_slice() else {
        bail!("usage: e2e FILE NAME theirs|ours PROGRAMS")
    };
    if fs::read_link("/proc/1/ns/pid")? != fs::read_link("/proc/self/ns/pid")? || std::process::id() > 50 {
        bail!("refusing to run outside a process namespace of its own");
    }
    let all = scenario::parse(&fs::read_to_string(file)?)?;
    let one = all.iter().find(|s| s.name == *name).with_context(|| format!("no scenario {name}"))?;
    let side = if side == "theirs" { Side::Theirs } else { Side::Ours };
    println!("{}", world::run(side, one, Path::new(programs))?);
    // Ends the process namespace, and all that was started in it.
    Ok(())
}
