//! `cargo xtask torture`: load, random faults, recovery, reconciliation, for minutes or hours (e2e/tests/crash.rs), with the released
//! programs. The test command runs the same for a few seconds.

use crate::{
    install,
    run::{cargo, check, root},
};
use anyhow::{Context, Result, bail};

/// How long without an option, in minutes.
const MINUTES: u64 = 5;

/// The command's entry.
pub fn run(args: &[String]) -> Result<()> {
    let (mut seconds, mut seed) = (MINUTES * 60, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value: u64 = args.next().with_context(|| format!("{arg} needs a number"))?.parse()?;
        match arg.as_str() {
            "--seconds" => seconds = value,
            "--minutes" => seconds = value.saturating_mul(60),
            "--hours" => seconds = value.saturating_mul(3600),
            "--seed" => seed = Some(value),
            _ => bail!("usage: cargo xtask torture [--seconds N | --minutes N | --hours N] [--seed N]"),
        }
    }
    let prefix = root().join("target/torture");
    install::run(&["--release".into(), "--prefix".into(), prefix.display().to_string()])?;
    let mut test = cargo();
    test.args(["test", "-p", "e2e", "--test", "crash", "--", "--exact", "torture", "--nocapture"]);
    test.env("HIKYAKU_PROGRAMS", prefix.join("libexec/hikyaku"));
    test.env("HIKYAKU_TORTURE_SECONDS", seconds.to_string());
    if let Some(seed) = seed {
        test.env("HIKYAKU_TORTURE_SEED", seed.to_string());
    }
    check(&mut test)
}
