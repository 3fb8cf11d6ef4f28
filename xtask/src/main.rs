//! `cargo xtask COMMAND`: everything that is done to this workspace beside compiling it.
//!
//! `test` runs all tests (see test.rs), `tidy` the rules of ARCHITECTURE.md, `install` lays out the programs as an
//! installation has them, `package` makes the Debian package, `bench` measures against Postfix, `fuzz` runs the parsers under libFuzzer,
//! `torture` hurts a server under load.

mod bench;
mod fuzz;
mod install;
mod package;
mod peers;
mod run;
mod test;
mod tidy;
mod torture;

use std::process::ExitCode;

/// A command: name, what it does, and its function. Arguments come without program and command name.
type Command = (&'static str, &'static str, fn(&[String]) -> anyhow::Result<()>);

const COMMANDS: &[Command] = &[
    (
        "bench",
        "relay|accept|local|queue|idle|tables: measure Hikyaku and Debian's Postfix in the same run",
        bench::run,
    ),
    (
        "fuzz",
        "[TARGET [SECONDS]]: run a parser under libFuzzer (needs a nightly compiler and cargo-fuzz)",
        fuzz::run,
    ),
    ("install", "--prefix DIR [--release]: lay the programs out below DIR", install::run),
    (
        "package",
        "[--release] [--out DIR] [--test]: the Debian package, and a trial of it in private namespaces",
        package::run,
    ),
    ("test", "[--install-peers]: format, clippy, tidy, unit and end-to-end tests", test::run),
    ("tidy", "check the rules of ARCHITECTURE.md", tidy::run),
    ("torture", "[--minutes N | --hours N]: faults at random under load; nothing may be lost", torture::run),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((_, _, run)) = COMMANDS.iter().find(|c| Some(c.0) == args.first().map(String::as_str)) else {
        eprintln!("usage: cargo xtask COMMAND");
        for (name, what, _) in COMMANDS {
            eprintln!("  {name:8} {what}");
        }
        return ExitCode::from(2);
    };
    match run(&args[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}
