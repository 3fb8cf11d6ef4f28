//! `postfix logrotate`: puts `maillog_file` and `maillog_json_file` aside under a name with the time, has the server go on with new
//! files, and compresses the old ones (`maillog_file_rotate_suffix`, `maillog_file_compressor`, `maillog_file_prefixes`; postlogd(8)).
//!
//! Nothing is renamed unless every file is below one of the prefixes.

use anyhow::{Context, Result, bail};
use base_conf::Config;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

/// From the order to reopen until what was under way is written.
const SETTLE: Duration = Duration::from_secs(1);

/// Rotates. `reopen` tells the server and then calls what it gets.
pub fn run(config: &Config, reopen: impl FnOnce(&dyn Fn() -> Result<()>) -> Result<()>) -> Result<()> {
    let named = [config.str("maillog_file")?, config.str("maillog_json_file")?];
    let files: Vec<PathBuf> =
        named.iter().filter(|f| !f.is_empty() && *f != "/dev/stdout").map(PathBuf::from).collect();
    if files.is_empty() {
        bail!("'postfix logrotate' requires a maillog_file that is a regular file");
    }
    let prefixes = config.list("maillog_file_prefixes")?;
    for file in &files {
        if !prefixes.iter().any(|p| file.starts_with(p)) {
            bail!("{}: no prefix in maillog_file_prefixes fits", file.display());
        }
    }
    let suffix = jiff::Zoned::now().strftime(&config.str("maillog_file_rotate_suffix")?).to_string();
    let mut old = Vec::new();
    for file in files.iter().filter(|f| f.exists()) {
        let aside = aside(file, &suffix);
        fs::rename(file, &aside).with_context(|| format!("cannot rename {}", file.display()))?;
        old.push(aside);
    }
    let compressor = config.str("maillog_file_compressor")?;
    reopen(&|| {
        thread::sleep(SETTLE);
        old.iter().try_for_each(|file| compress(&compressor, file))
    })
}

fn aside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn compress(compressor: &str, file: &Path) -> Result<()> {
    let status =
        Command::new(compressor).arg(file).status().with_context(|| format!("cannot run {compressor}"))?;
    if !status.success() {
        bail!("{compressor} {}: {status}", file.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_goes_aside() {
        let dir = tempfile::tempdir().unwrap();
        let (log, json) = (dir.path().join("log"), dir.path().join("log.json"));
        fs::write(&log, "a\n").unwrap();
        fs::write(&json, "{}\n").unwrap();
        let text = format!(
            "maillog_file = {}\nmaillog_json_file = {}\nmaillog_file_prefixes = {}\nmaillog_file_rotate_suffix = old\n\
             maillog_file_compressor = /bin/true\n",
            log.display(),
            json.display(),
            dir.path().display()
        );
        run(&Config::from_text(&text), |after| {
            fs::write(&log, "b\n")?;
            after()
        })
        .unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(
            (read("log"), read("log.old"), read("log.json.old")),
            ("b\n".into(), "a\n".into(), "{}\n".into())
        );
    }

    #[test]
    fn not_everything_can_be_rotated() {
        for (text, want) in [
            ("", "requires a maillog_file"),
            ("maillog_file = /dev/stdout", "requires a maillog_file"),
            ("maillog_file = /etc/x\nmaillog_file_prefixes = /var, /dev/stdout", "no prefix"),
        ] {
            let e = run(&Config::from_text(text), |_| Ok(())).unwrap_err().to_string();
            assert!(e.contains(want), "{text}: {e}");
        }
    }
}
