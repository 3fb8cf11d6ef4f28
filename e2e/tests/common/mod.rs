//! Running one scenario of e2e/scenarios in namespaces of its own. For the tests beside this folder.

use serde_json::Value;
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// What is not there that scenarios need.
pub fn missing() -> Option<&'static str> {
    let root = nix::unistd::geteuid().is_root();
    let there = |p: &str| Path::new(p).exists();
    match () {
        () if !root => Some("root"),
        () if !there("/usr/sbin/smtp-source") => Some("the package postfix"),
        () if !there("/usr/sbin/ip") && !there("/sbin/ip") && !there("/bin/ip") => {
            Some("the package iproute2")
        }
        () => None,
    }
}

fn programs() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_e2e")).parent().map(PathBuf::from);
    env::var_os("HIKYAKU_PROGRAMS").map(PathBuf::from).or(beside).expect("a folder of programs")
}

/// What happens in a scenario, as JSON; `side` is `theirs` or `ours`.
pub fn run(file: &Path, name: &str, side: &str) -> Result<Value, String> {
    let out = Command::new("unshare")
        .args([
            "--mount",
            "--net",
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child=SIGKILL",
            "--mount-proc",
        ])
        .args(["--propagation", "private", "timeout", "-s", "KILL", "100"])
        .arg(env!("CARGO_BIN_EXE_e2e"))
        .args([file.as_os_str(), name.as_ref(), side.as_ref(), programs().as_os_str()])
        .output()
        .map_err(|e| e.to_string())?;
    serde_json::from_slice(&out.stdout)
        .map_err(|e| format!("{side}: {e}: {}", String::from_utf8_lossy(&out.stderr)))
}

/// The lines of one kind: `smtp`, `mail`, `cmd`, `log`.
pub fn lines(v: &Value, kind: &str) -> Vec<String> {
    v[kind].as_array().into_iter().flatten().filter_map(|l| l.as_str().map(str::to_owned)).collect()
}
