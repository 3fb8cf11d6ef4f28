//! `hikyaku-worker lookups`: the process that the courier asks tables behind servers.
//!
//! The courier, which may not speak to the network, starts it with a socket. It opens the tables that the courier names,
//! which may take root's right to read their settings, becomes `mail_owner` for good, and answers until the
//! socket closes. It hears nobody else: a worker that was taken over cannot change its answers.

use crate::{drop_privileges, events_file};
use anyhow::{Context, Result};
use base_conf::{Config, MasterCf};
use base_log::{Log, Source, Target};
use base_nettables::NetTables;
use base_sandbox::Folders;
use base_sys::fds;
use base_tables::{Options, Tables, elsewhere::Session, types::MoreTypes};
use std::{os::unix::net::UnixStream, path::Path, sync::Arc};

/// The first argument.
pub const ARGUMENT: &str = "lookups";
/// The variable with the number of the socket.
const ENV: &str = "HIKYAKU_LOOKUPS";

/// Answers until the courier is gone.
pub fn run(dir: &Path) -> Result<()> {
    base_sys::process::ignore_interrupt()?;
    base_sys::process::unblock_signals()?;
    let number = std::env::var(ENV).context("this program is started by the courier")?;
    let stream = UnixStream::from(fds::adopt(&number)?);
    let cfg = Config::load(dir)?;
    let target = Target::from_parameters(&cfg.str("maillog_file")?, &cfg.str("syslog_facility")?);
    let events = cfg.str("maillog_json_file")?;
    let log = Log::open_with_events(&target, events_file(&events));
    let source = Source::new(format!("{}/local", cfg.str("syslog_name")?), std::process::id());
    let say = |warning: bool| {
        let (log, source) = (log.clone(), source.clone());
        Arc::new(move |text: &str| match warning {
            true => log.warning(&source, text),
            false => log.error(&source, text),
        })
    };
    let more: Arc<dyn MoreTypes> = NetTables::new(cfg.clone());
    let tables =
        Tables::new(Options { warn: say(true), error: say(false), more: Some(more), ..Options::default() });
    let session = Session::accept(stream, &tables)?;
    drop_privileges(&cfg, &Folders::of(&cfg, &MasterCf::load(dir)?))?;
    let done = session.run();
    log.flush();
    Ok(done?)
}
