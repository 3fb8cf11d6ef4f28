//! What the tests of this folder need of the machine, and where our programs are.

use std::{
    env,
    path::{Path, PathBuf},
};

/// Whether this machine has what scenarios need. Without it the caller has nothing to do; with `HIKYAKU_PEERS_REQUIRED` that is a failure.
pub fn ready() -> bool {
    let there = |p: &&str| Path::new(p).exists();
    let lacking = match () {
        () if !nix::unistd::geteuid().is_root() => "root",
        () if !there(&"/usr/sbin/smtp-source") => "the package postfix",
        () if !["/usr/sbin/ip", "/sbin/ip", "/bin/ip"].iter().any(there) => "the package iproute2",
        () => return true,
    };
    assert!(env::var_os("HIKYAKU_PEERS_REQUIRED").is_none(), "needs {lacking}");
    eprintln!("not run: needs {lacking}");
    false
}

/// The folder of our programs: `HIKYAKU_PROGRAMS`, or where cargo built them.
pub fn programs() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_e2e")).parent().map(PathBuf::from);
    env::var_os("HIKYAKU_PROGRAMS").map(PathBuf::from).or(beside).expect("a folder of programs")
}
