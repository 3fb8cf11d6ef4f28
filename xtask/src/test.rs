//! `cargo xtask test [--install-peers]`: everything that must pass.
//!
//! With `CI=true` or `--install-peers` (as root) the Debian packages that the tests need are installed first, and a test
//! that lacks its peer fails. Otherwise what is there is used, and the run ends with a list of what was not run.

use crate::{
    install, package, peers,
    run::{cargo, check},
    tidy,
};
use anyhow::{Result, bail};

/// The command's entry.
pub fn run(args: &[String]) -> Result<()> {
    let mut with_peers = std::env::var("CI").is_ok_and(|v| v == "true");
    for a in args {
        match a.as_str() {
            "--install-peers" => with_peers = true,
            other => bail!("test: unknown argument {other:?}"),
        }
    }
    if with_peers {
        peers::install()?;
    }
    check(cargo().args(["fmt", "--all", "--", "--check"]))?;
    check(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    tidy::run(&[])?;
    // One selection of packages for everything: a test run of e2e alone would compile what it needs with other features.
    let built = install::build(false)?;
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--no-fail-fast", "--quiet"]).env("HIKYAKU_PROGRAMS", &built);
    if with_peers {
        tests.env("HIKYAKU_PEERS_REQUIRED", "1");
    }
    check(&mut tests)?;
    package::try_out(&built)?;
    let missing = peers::missing();
    if !missing.is_empty() {
        println!("not run, for lack of these packages: {}", missing.join(" "));
    }
    Ok(())
}
