//! What `postfix check`, `start` and `reload` say about the configuration: the rules of mail/check, as lines on standard error
//! and in the log under Postfix's script name, or as JSON on standard output. docs/check.md.
//!
//! Nothing here refuses anything: findings become an exit status for `check` only.

use crate::{getopt, say::Say};
use base_conf::{Config, computed::Machine};
use base_sys::{Group, User};
use base_tables::Tables;
use mail_check::{Finding, Severity, Site, Surroundings};
use mail_route::{RouteConfig, Router};
use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::SystemTime,
};

/// How to report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// `-j`
    pub json: bool,
    /// `-v`: notes, too.
    pub notes: bool,
    /// `--strict`: warnings count.
    pub strict: bool,
}

impl Options {
    /// Reads what follows `check`.
    pub fn parse(args: &[OsString]) -> Result<Self, String> {
        let (long, short): (Vec<&OsString>, Vec<&OsString>) = args.iter().partition(|a| *a == "--strict");
        let short: Vec<OsString> = short.into_iter().cloned().collect();
        let parsed = getopt::parse("jv", &short)?;
        if let Some(operand) = parsed.operands.first() {
            return Err(format!("unexpected argument: {}", operand.display()));
        }
        let has = |option: char| parsed.options.iter().any(|(c, _)| *c == option);
        Ok(Self { json: has('j'), notes: has('v'), strict: !long.is_empty() })
    }
}

/// The configuration in `dir`, ready to be checked.
pub fn site(dir: &Path) -> Site {
    let around = Surroundings {
        services: std::fs::read_to_string("/etc/services").unwrap_or_default(),
        now: SystemTime::now(),
        machine: Machine::this(),
        user: |name| User::by_name(name).ok().flatten().map(|u| u.uid),
        group: |name| matches!(Group::by_name(name), Ok(Some(_))),
        unreadable: mail_check::unreadable,
        route: Arc::new(|cfg: &Config, tables: &Arc<Tables>| {
            let config = RouteConfig::from_config(cfg).ok()?;
            Some(Arc::new(Router::new(Arc::new(config), Arc::clone(tables), tables)))
        }),
        tables: base_tables::Options::default(),
    };
    Site::load(dir, around)
}

/// `postfix check`: everything that is found; the exit status.
pub fn run(dir: &Path, options: Options, say: &Say) -> ExitCode {
    let mut found = mail_check::check(&site(dir));
    if options.json {
        mail_check::json(&found).iter().for_each(|line| println!("{line}"));
    } else {
        found.retain(|f| options.notes || f.severity > Severity::Note);
        found.iter().for_each(|f| tell(say, f, f.severity));
    }
    ExitCode::from(mail_check::exit_code(&found, options.strict))
}

/// `postfix start` and `reload`: what stops mail or loses it, as warnings.
pub fn warn(dir: &Path, say: &Say) {
    for found in mail_check::check_short(&site(dir)) {
        tell(say, &found, Severity::Warning);
    }
}

fn tell(say: &Say, found: &Finding, severity: Severity) {
    match severity {
        Severity::Warning => say.warning(&found.to_string()),
        other => say.info(&format!("{}: {found}", other.name())),
    }
}

/// What postconf(1) warns about, as Postfix's script has it say: parameters that nothing uses. `false` when it cannot read a
/// file, which it has said then.
pub fn postconf(dir: &Path, config: &Config) -> bool {
    let shown = config.str("command_directory").unwrap_or_default() + "/postconf";
    // This executable is postconf too, when it is called so.
    let Ok(own) = std::env::current_exe() else { return true };
    let status = Command::new(own)
        .arg0(shown)
        .arg("-c")
        .arg(dir)
        .arg("-n")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    status.is_ok_and(|s| s.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let parse =
            |line: &str| Options::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(parse(""), Ok(Options::default()));
        assert_eq!(parse("-jv --strict"), Ok(Options { json: true, notes: true, strict: true }));
        assert_eq!(parse("--strict"), Ok(Options { strict: true, ..Options::default() }));
        assert!(parse("-x").is_err() && parse("more").is_err());
    }
}
