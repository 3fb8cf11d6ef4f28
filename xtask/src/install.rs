//! `cargo xtask install --prefix DIR [--release]`: the layout of an installation below DIR.
//!
//! `libexec/hikyaku/` the executables, `share/` manual pages and shell completion made by hikyaku-tools, `sbin/` links under Postfix's command names, `bin/` mailq and newaliases.

use crate::run::{cargo, check, root};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// The executables, one for each privilege class.
pub const PROGRAMS: &[&str] =
    &["hikyaku-courier", "hikyaku-master", "hikyaku-submit", "hikyaku-tools", "hikyaku-worker"];

/// Command name (below sbin/) and the executable that serves it: the lines of programs/COMMANDS.
pub fn commands() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("../../programs/COMMANDS").lines().filter_map(|l| l.split_once(' '))
}

/// The command's entry.
pub fn run(args: &[String]) -> Result<()> {
    let mut prefix = None;
    let mut release = false;
    let mut args = args.iter();
    while let Some(a) = args.next() {
        match a.as_str() {
            "--prefix" => prefix = args.next().map(PathBuf::from),
            "--release" => release = true,
            other => bail!("install: unknown argument {other:?}"),
        }
    }
    let prefix = prefix.context("install: --prefix DIR is needed")?;
    let built = build(release)?;
    lay_out(&built, &std::path::absolute(prefix)?)
}

/// Builds all executables; the folder that holds them. The selection of packages decides the features of what they depend
/// on: without `--release` it is the one of the tests, so that `xtask test` and what follows it compile nothing twice;
/// with it, only what is installed is built.
pub fn build(release: bool) -> Result<PathBuf> {
    let mut c = cargo();
    c.arg("build");
    match release {
        true => c.arg("--release").args(PROGRAMS.iter().flat_map(|p| ["-p", p])),
        false => c.args(["--workspace", "--lib", "--bins"]),
    };
    check(&mut c)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join(if release { "release" } else { "debug" }))
}

/// Copies the executables and makes links, pages and completion.
pub fn lay_out(built: &Path, prefix: &Path) -> Result<()> {
    let libexec = prefix.join("libexec/hikyaku");
    for d in [&libexec, &prefix.join("sbin"), &prefix.join("bin"), &prefix.join("share/man")] {
        fs::create_dir_all(d).with_context(|| format!("cannot create {}", d.display()))?;
    }
    for p in PROGRAMS {
        let to = libexec.join(p);
        let fresh = libexec.join(format!(".{p}.new"));
        fs::copy(built.join(p), &fresh).with_context(|| format!("cannot install {}", to.display()))?;
        fs::rename(&fresh, &to)?;
    }
    for (name, program) in commands() {
        link(&Path::new("../libexec/hikyaku").join(program), &prefix.join("sbin").join(name))?;
    }
    for name in ["mailq", "newaliases"] {
        link(&Path::new("../sbin").join(name), &prefix.join("bin").join(name))?;
    }
    let mut manual = Command::new(libexec.join("hikyaku-tools"));
    check(manual.arg("manual").arg(prefix.join("share")))?;
    println!("installed below {}", prefix.display());
    Ok(())
}

fn link(to: &Path, at: &Path) -> Result<()> {
    if at.is_symlink() || at.exists() {
        fs::remove_file(at)?;
    }
    symlink(to, at).with_context(|| format!("cannot make {}", at.display()))
}
