//! Finding the executables; under `cargo run`, building them first.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

const NEEDED: [&str; 4] = ["hikyaku-master", "hikyaku-worker", "hikyaku-courier", "hikyaku-submit"];

/// The folder with the executables: beside this one. `cargo run` builds this tool alone, so under cargo the others are
/// built here (nothing happens when they are up to date).
pub fn find() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|e| format!("cannot find this executable: {e}"))?;
    let dir = own.parent().unwrap_or(Path::new("/")).to_owned();
    if let Some(cargo) = env::var_os("CARGO")
        && env::var_os("CARGO_MANIFEST_DIR").is_some()
    {
        build(Path::new(&cargo), dir.ends_with("release"))?;
    }
    match NEEDED.iter().find(|p| !dir.join(p).is_file()) {
        None => Ok(dir),
        Some(p) => Err(format!("{} is missing beside {}", p, own.display())),
    }
}

fn build(cargo: &Path, release: bool) -> Result<(), String> {
    let mut c = Command::new(cargo);
    c.arg("build").args(release.then_some("--release"));
    for p in NEEDED {
        c.args(["-p", p]);
    }
    match c.status() {
        Ok(s) if s.success() => Ok(()),
        Ok(s) => Err(format!("building the server failed ({s})")),
        Err(e) => Err(format!("cannot run cargo: {e}")),
    }
}
