//! mailq(1): `sendmail -bp`. Replaces itself with `postqueue -p`, which has the right to ask the server.

use crate::{getopt, say::Say, tools::Tool};
use base_conf::Config;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The record.
pub const TOOL: Tool = Tool { name: "mailq", run, about: "list the mail queue" };

/// `EX_TEMPFAIL`, as sendmail(1) ends on every error.
const TEMPFAIL: u8 = 75;

fn run(args: &[OsString]) -> ExitCode {
    let text = match parse(args) {
        Ok(args) => list(&args),
        Err(text) => text,
    };
    let cfg = Config::load(Path::new("/etc/postfix")).ok();
    Say::under("mailq", "sendmail", cfg.as_ref()).fatal(TEMPFAIL, &text)
}

/// The arguments for postqueue. Options of sendmail that do not matter here are accepted.
fn parse(args: &[OsString]) -> Result<Vec<OsString>, String> {
    let spec = "A:B:C:F:GILN:O:R:UV:X:b:ce:f:h:iL:mno:p:q:r:stvx:";
    let parsed = getopt::parse(spec, args)?;
    if !parsed.operands.is_empty() {
        return Err("display queue mode requires no recipient".into());
    }
    let mut out = vec![OsString::from("-p")];
    if let Some(dir) = parsed.value('C') {
        out.extend([OsString::from("-c"), dir.to_owned()]);
    }
    out.extend(parsed.options.iter().filter(|(c, _)| *c == 'v').map(|_| OsString::from("-v")));
    Ok(out)
}

/// Never returns when postqueue is found; else the reason.
fn list(args: &[OsString]) -> String {
    let program = find(args.iter().skip_while(|a| *a != "-c").nth(1).map(Path::new));
    let error = Command::new(&program).arg0("postqueue").args(args).exec();
    format!("execute {}: {}", program.display(), base_sys::system_text(&error))
}

/// The installed postqueue, which has its right to the server's sockets: in `command_directory` when
/// `daemon_directory` says that this server is installed there, else beside this program.
fn find(config_dir: Option<&Path>) -> PathBuf {
    let cfg = Config::load(config_dir.unwrap_or(Path::new("/etc/postfix"))).ok();
    let dir = |name: &str| cfg.as_ref().and_then(|c| c.str(name).ok()).map(PathBuf::from).unwrap_or_default();
    let own = std::env::current_exe().ok().and_then(|p| Some(p.parent()?.to_owned())).unwrap_or_default();
    let installed = dir("daemon_directory").join("hikyaku-worker").is_file();
    let standard = dir("command_directory").join("postqueue");
    let beside = ["postqueue", "../../sbin/postqueue", "hikyaku-submit"].map(|p| own.join(p));
    let first = Some(standard.clone()).filter(|p| installed && p.is_file());
    first.or_else(|| beside.into_iter().find(|p| p.is_file())).unwrap_or(standard)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(args: &str) -> String {
        let args: Vec<OsString> = args.split_whitespace().map(OsString::from).collect();
        match parse(&args) {
            Ok(a) => a.join(" ".as_ref()).to_string_lossy().into_owned(),
            Err(e) => e,
        }
    }

    #[test]
    fn arguments() {
        for (args, want) in [
            ("", "-p"),
            ("-C /x -v", "-p -c /x -v"),
            ("-Ac", "-p"),
            ("x", "display queue mode requires no recipient"),
        ] {
            assert_eq!(show(args), want, "{args}");
        }
    }
}
