//! Running one scenario of e2e/scenarios in namespaces of its own. For the tests beside this folder.

pub mod machine;

pub use machine::{programs, ready};
use serde_json::Value;
use std::{path::Path, process::Command};

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
