//! hikyaku-worker: everything that talks to the network or decides about mail, in one unprivileged process.
//!
//! Started by master, never by hand. Reads the configuration, opens the log, drops to `mail_owner` and enters the sandbox
//! before the first byte from outside; recovers the spool; takes listening sockets and orders from master
//! (base/sys handoff). A reload builds new stages beside the old ones and swaps them: running sessions keep what they began with.
//! When master is gone, or orders a stop, sessions get a moment to finish and the spool is closed in order.

mod acme;
mod agents;
mod control;
mod elder;
mod fixed;
mod lifecycle;
mod listeners;
mod lookups;
mod observe;
mod opener;
mod reports;
mod shed;
mod showq;
mod stages;
mod tables;
mod watchdog;

use anyhow::{Context, Result, bail};
use base_conf::{Config, MasterCf};
use base_log::{Log, Source, Target};
use base_sandbox::{Applied, Folders};
use base_sys::{handoff::Channel, limits, privilege};
use opener::ThroughMaster;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

/// Descriptors that the process asks for: two for each of many sessions.
const OPEN_FILES: u64 = 262_144;

/// What stays the same from start to end.
pub struct Process {
    /// Configuration directory.
    pub config_dir: PathBuf,
    /// The log.
    pub log: Log,
    /// Who says what no stage says.
    pub source: Source,
    /// Opens tables, certificates and keys, also those that only root may read.
    pub opener: Arc<ThroughMaster>,
    /// Most descriptors that it may have.
    pub open_files: u64,
    /// Where files may be opened, from start to end.
    pub folders: Folders,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("hikyaku-worker: fatal: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    if std::env::args_os().nth(1).is_some_and(|first| first == lookups::ARGUMENT) {
        return lookups::run(&config_dir(2)?);
    }
    let channel = Arc::new(Channel::inherited()?.context("this program is started by master")?);
    base_sys::process::ignore_interrupt()?;
    let config_dir = config_dir(1)?;
    let cfg = Config::load(&config_dir)?;
    let events = cfg.str("maillog_json_file")?;
    let log = Log::open_with_events(
        &Target::from_parameters(&cfg.str("maillog_file")?, &cfg.str("syslog_facility")?),
        events_file(&events),
    );
    let name = format!("{}/qmgr", cfg.str("syslog_name")?);
    let opener = Arc::new(ThroughMaster::new(Arc::clone(&channel)));
    let folders = Folders::of(&cfg, &MasterCf::load(&config_dir)?);
    let source = Source::new(name, std::process::id());
    let open_files = limits::raise_open_files(OPEN_FILES)?;
    let process = Process { config_dir, source, log, opener, open_files, folders };
    let result = start(&process, &cfg, channel);
    if let Err(e) = &result {
        process.log.fatal(&process.source, format!("{e:#}"));
        process.log.flush();
    }
    result
}

fn start(process: &Process, cfg: &Config, channel: Arc<Channel>) -> Result<()> {
    let applied = drop_privileges(cfg, &process.folders)?;
    for part in applied.missing {
        process.log.warning(&process.source, part);
    }
    watchdog::abort_when_the_runtime_fails(process.log.clone(), process.source.clone());
    lifecycle::run(process, channel)
}

/// `maillog_json_file`; empty: none.
fn events_file(name: &str) -> Option<&Path> {
    Some(Path::new(name)).filter(|_| !name.is_empty())
}

/// From the arguments that are left when `skip` are taken away, or the environment.
fn config_dir(skip: usize) -> Result<PathBuf> {
    let mut args = std::env::args_os().skip(skip);
    match (args.next(), args.next()) {
        (Some(flag), Some(dir)) if flag == "-c" => Ok(dir.into()),
        (None, _) => Ok(std::env::var_os("MAIL_CONFIG").map_or_else(|| "/etc/postfix".into(), PathBuf::from)),
        _ => bail!("usage: hikyaku-worker [-c config_dir]"),
    }
}

/// Becomes `mail_owner` when started as root; gives up what the worker never needs (base/sandbox). Before there is a
/// second thread: it would keep what it has.
fn drop_privileges(cfg: &Config, folders: &Folders) -> Result<Applied> {
    limits::set_umask(0o077);
    if privilege::is_root() {
        let name = cfg.str("mail_owner")?;
        let user =
            base_sys::User::by_name(&name)?.with_context(|| format!("mail_owner: unknown user: {name}"))?;
        if user.uid != 0 {
            // With its groups: `adduser postfix sasl` lets it ask saslauthd.
            let groups = user.more_groups();
            privilege::become_identity(&privilege::Identity {
                groups,
                ..privilege::Identity::new(user.uid, user.gid)
            })?;
        }
    }
    Ok(base_sandbox::worker(folders)?)
}
