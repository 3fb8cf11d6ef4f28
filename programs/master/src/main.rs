//! hikyaku-master: binds the ports, starts worker and courier and keeps them running (master(8)).
//!
//! Runs as root for life when started as root, and parses nothing that comes from the network. `-c DIR` configuration
//! directory, `-w` start in the background and wait until the server is ready or has failed, `-s`, `-i`, `-d` stay in the
//! foreground, `-t` only tell whether a master runs (exit 0: none does), `-v` verbose. Started by `postfix start`.

mod activation;
mod children;
mod disabled;
mod endpoints;
mod folders;
mod launch;
mod notify;
mod pid_file;
mod readable;
mod renewal;
mod settings;
mod sockets;
mod supervise;

use anyhow::{Context, Result, bail};
use base_log::{Log, Source};
use base_sys::{
    daemon,
    process::{Sig, Signals, unblock_signals},
};
use settings::Settings;
use std::{path::PathBuf, process::ExitCode};

/// How to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// In this process, with the terminal.
    Foreground,
    /// Start the real one and wait for its word.
    Launch,
    /// Only look at the lock.
    Test,
}

#[derive(Debug)]
struct Options {
    mode: Mode,
    dir: PathBuf,
    verbose: u32,
}

fn main() -> ExitCode {
    let _ = daemon::secure_standard();
    let _ = unblock_signals();
    let options = match parse(std::env::args().skip(1)) {
        Ok(o) => o,
        Err(e) => {
            eprintln!("fatal: {e:#}");
            return ExitCode::FAILURE;
        }
    };
    let done = match options.mode {
        Mode::Launch => launch::and_wait(&options.dir, options.verbose),
        Mode::Test => test(&options.dir),
        Mode::Foreground => serve(&options),
    };
    done.unwrap_or_else(|e| {
        eprintln!("postfix/master: fatal: {e:#}");
        ExitCode::FAILURE
    })
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options> {
    let dir =
        std::env::var_os(base_sys::handoff::ENV_CONFIG).map_or_else(|| "/etc/postfix".into(), PathBuf::from);
    let mut options = Options { mode: Mode::Foreground, dir, verbose: 0 };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-c" => options.dir = args.next().context("option -c needs a directory")?.into(),
            "-e" => drop(args.next().context("option -e needs a number")?),
            "-w" => options.mode = Mode::Launch,
            "-t" => options.mode = Mode::Test,
            "-s" | "-i" | "-d" => options.mode = Mode::Foreground,
            "-v" => options.verbose += 1,
            "-D" => {}
            _ => bail!("usage: master [-c config_dir] [-D] [-d] [-i] [-s] [-t] [-v] [-w]"),
        }
    }
    options.dir = std::path::absolute(&options.dir)?;
    Ok(options)
}

/// `-t`: success when no master runs.
fn test(dir: &std::path::Path) -> Result<ExitCode> {
    let settings = Settings::load(dir)?;
    Ok(if pid_file::is_locked(&settings.queue_directory) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs the server until it is told to stop. What goes wrong before it is up is told to whoever waits and logged.
fn serve(options: &Options) -> Result<ExitCode> {
    let report = launch::Report::inherited()?;
    let given = activation::Given::from_environment()?;
    base_sandbox::root_server(base_sandbox::RootServer::Master).context("cannot give up capabilities")?;
    // Before the log's thread is made: every thread must leave these signals to the main loop.
    let signals = Signals::take(&[Sig::Hup, Sig::Term, Sig::Int, Sig::Chld])?;
    let settings = match Settings::load(&options.dir) {
        Ok(s) => s,
        Err(e) => {
            report.failed(&format!("{e:#}"));
            log_without_settings(&e);
            return Err(e);
        }
    };
    let log = Log::open_with_events(&settings.log_target, settings.events.as_deref());
    let source = Source::new(format!("{}/master", settings.syslog_name), std::process::id());
    match supervise::run(settings, signals, given, &log, &source, &report) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(e) => {
            log.fatal(&source, format_args!("{e:#}"));
            log.flush();
            report.failed(&format!("{e:#}"));
            Err(e)
        }
    }
}

/// main.cf could not be read: the log goes where it goes by default.
fn log_without_settings(error: &anyhow::Error) {
    let log = Log::open(&base_log::Target::from_parameters("", "mail"));
    log.fatal(&Source::new("postfix/master", std::process::id()), format_args!("{error:#}"));
    log.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(line: &str) -> Result<(Mode, String)> {
        let o = parse(line.split_whitespace().map(str::to_owned))?;
        Ok((o.mode, o.dir.display().to_string()))
    }

    #[test]
    fn options() {
        assert_eq!(mode("-c /a -w").unwrap(), (Mode::Launch, "/a".into()));
        assert_eq!(mode("-t -c /b").unwrap(), (Mode::Test, "/b".into()));
        assert_eq!(mode("-v -s -c /c").unwrap(), (Mode::Foreground, "/c".into()));
        assert!(mode("-c").is_err());
        assert!(mode("-x").is_err());
    }
}
