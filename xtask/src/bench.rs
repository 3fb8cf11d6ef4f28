//! `cargo xtask bench MODE …`: builds with --release, installs below target/bench and runs the `bench` program, which
//! measures Hikyaku and Debian's Postfix in turn.

use crate::{
    install,
    run::{cargo, check, root},
};
use anyhow::Result;

/// The command's entry.
pub fn run(args: &[String]) -> Result<()> {
    let prefix = root().join("target/bench");
    install::run(&["--release".into(), "--prefix".into(), prefix.display().to_string()])?;
    let mut c = cargo();
    c.args(["run", "--quiet", "--release", "-p", "bench", "--", "--prefix"]).arg(&prefix).args(args);
    check(&mut c)
}
