//! `cargo xtask fuzz [TARGET [SECONDS]]`: the check functions of `fuzz/` under libFuzzer.
//!
//! The same functions run on stable Rust over their corpora and random mutations as part of the tests.

use crate::run::{check, has_program, root};
use anyhow::{Result, bail};
use std::process::Command;

/// The command's entry.
pub fn run(args: &[String]) -> Result<()> {
    let Some(target) = args.first() else {
        println!("targets: {}", targets()?.join(" "));
        return Ok(());
    };
    if !has_program("cargo-fuzz") {
        bail!("cargo-fuzz is not installed; `cargo test -p fuzz` runs the same checks without it");
    }
    let seconds = args.get(1).map_or("60", String::as_str);
    let limit = format!("-max_total_time={seconds}");
    check(Command::new("cargo").current_dir(root().join("fuzz/libfuzzer")).args([
        "+nightly",
        "fuzz",
        "run",
        "--fuzz-dir",
        ".",
        target,
        "--",
        &limit,
    ]))
}

fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("fuzz/libfuzzer/fuzz_targets"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".rs").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}
