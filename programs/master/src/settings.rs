//! What master needs of main.cf and master.cf, as an immutable snapshot; read again on reload.
//!
//! An error names file, line and reason; the caller keeps the last good snapshot.

use crate::{
    endpoints::{self, Endpoint},
    readable::Readable,
};
use anyhow::{Context, Result};
use base_conf::{Config, MasterCf};
use base_log::Target;
use base_sys::{
    Group, User,
    privilege::{self, Identity},
};
use std::path::{Path, PathBuf};

/// Owner and groups of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owners {
    /// `mail_owner`.
    pub user: u32,
    /// The primary group of `mail_owner`.
    pub group: u32,
    /// `setgid_group`.
    pub setgid: u32,
    /// More groups of `mail_owner`.
    pub more: Vec<u32>,
}

impl Owners {
    /// Whom the worker runs as.
    pub fn worker(&self) -> Identity {
        Identity { groups: self.more.clone(), ..Identity::new(self.user, self.group) }
    }
}

/// The snapshot.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Configuration directory.
    pub dir: PathBuf,
    /// `queue_directory`.
    pub queue_directory: PathBuf,
    /// `data_directory`.
    pub data_directory: PathBuf,
    /// Where worker and courier are.
    pub daemons: PathBuf,
    /// `mail_version`.
    pub version: String,
    /// `syslog_name`.
    pub syslog_name: String,
    /// Where the log goes.
    pub log_target: Target,
    /// `maillog_json_file`, when there is one.
    pub events: Option<PathBuf>,
    /// Owners of the queue; `None` without root: everything belongs to the caller.
    pub owners: Option<Owners>,
    /// What is to be bound.
    pub endpoints: Vec<Endpoint>,
    /// Files that are opened for the worker.
    pub readable: Readable,
    /// What the reader of master.cf warns about.
    pub warnings: Vec<String>,
    /// Limit of open files for all processes of the server.
    pub open_files: u64,
}

impl Settings {
    /// Reads both files below `dir`.
    pub fn load(dir: &Path) -> Result<Self> {
        let config = Config::load(dir)?;
        let master = MasterCf::load(dir)?;
        let daemon_directory = PathBuf::from(config.str("daemon_directory")?);
        Ok(Self {
            dir: dir.to_owned(),
            queue_directory: config.str("queue_directory")?.into(),
            data_directory: config.str("data_directory")?.into(),
            daemons: daemons(&daemon_directory)?,
            version: config.str("mail_version")?,
            syslog_name: config.str("syslog_name")?,
            log_target: Target::from_parameters(
                &config.str("maillog_file")?,
                &config.str("syslog_facility")?,
            ),
            events: Some(config.str("maillog_json_file")?).filter(|f| !f.is_empty()).map(PathBuf::from),
            owners: owners(&config)?,
            endpoints: endpoints::all(&config, &master)?,
            readable: Readable::of(&config, &master),
            warnings: master.warnings,
            open_files: 65_536,
        })
    }

    /// The path of an executable of ours.
    pub fn program(&self, name: &str) -> PathBuf {
        self.daemons.join(name)
    }
}

/// `daemon_directory` when it holds our executables, else the folder of this one.
fn daemons(configured: &Path) -> Result<PathBuf> {
    if configured.join("hikyaku-worker").exists() {
        return Ok(configured.to_owned());
    }
    let own = std::env::current_exe().context("cannot find my own executable")?;
    Ok(own.parent().unwrap_or(configured).to_owned())
}

fn owners(config: &Config) -> Result<Option<Owners>> {
    if !privilege::is_root() {
        return Ok(None);
    }
    let (name, group) = (config.str("mail_owner")?, config.str("setgid_group")?);
    let user = User::by_name(&name)?.with_context(|| {
        format!(
            "file {}/main.cf: parameter mail_owner: unknown user name value: {name}",
            config.dir().display()
        )
    })?;
    let setgid = Group::by_name(&group)?.with_context(|| {
        format!(
            "file {}/main.cf: parameter setgid_group: unknown group name: {group}",
            config.dir().display()
        )
    })?;
    Ok(Some(Owners { user: user.uid, group: user.gid, setgid: setgid.gid, more: user.more_groups() }))
}
