//! What the courier reads of main.cf and master.cf: the agents, and where to log. Swapped whole on reload.

use crate::lookups;
use anyhow::Result;
use base_conf::{Config, MasterCf};
use base_log::{Log, Source, Target};
use base_sys::{User, privilege};
use base_tables::{Options, Tables, types::MoreTypes};
use mail_deposit::{Agents, World};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The snapshot.
pub struct Settings {
    /// Who is served how.
    pub agents: Agents,
    /// Users that may ask: `mail_owner`, root, and this process's own.
    pub may_ask: Vec<u32>,
    /// Most children at a time.
    pub process_limit: usize,
    /// `max_idle` of the children.
    pub max_idle: std::time::Duration,
    syslog_name: String,
}

/// Where the log goes, and the file of events beside it.
pub fn log_targets(dir: &Path) -> (Target, Option<PathBuf>) {
    let config = Config::load(dir).ok();
    let value = |name: &str| config.as_ref().and_then(|c| c.str(name).ok());
    let facility = value("syslog_facility").unwrap_or_else(|| "mail".into());
    let target = Target::from_parameters(&value("maillog_file").unwrap_or_default(), &facility);
    (target, value("maillog_json_file").filter(|f| !f.is_empty()).map(PathBuf::from))
}

impl Settings {
    /// Reads both files.
    pub fn load(dir: &Path, log: &Log) -> Result<Self> {
        let config = Config::load(dir)?;
        let master = MasterCf::load(dir)?;
        let syslog_name = config.str("syslog_name")?;
        let source = Source::new(format!("{syslog_name}/local"), std::process::id());
        let world = World { tables: Tables::new(table_options(log, &source, dir)) };
        let mut may_ask = vec![0, privilege::effective_uid()];
        may_ask.extend(User::by_name(&config.str("mail_owner")?)?.map(|u| u.uid));
        Ok(Self {
            agents: Agents::from_config(&config, &master, &world),
            may_ask,
            process_limit: usize::try_from(config.int("default_process_limit")?)
                .unwrap_or(100)
                .clamp(1, 1000),
            max_idle: config.time("max_idle")?,
            syslog_name,
        })
    }

    /// The name that lines about a service carry: `postfix/local`.
    pub fn source(&self, service: &str) -> Source {
        let command = self.agents.command(service).unwrap_or("courier");
        Source::new(format!("{}/{command}", self.syslog_name), std::process::id())
    }
}

fn table_options(log: &Log, source: &Source, dir: &Path) -> Options {
    let warn = |log: &Log, source: &Source| {
        let (log, source) = (log.clone(), source.clone());
        move |text: &str| log.warning(&source, text)
    };
    let error = {
        let (log, source) = (log.clone(), source.clone());
        move |text: &str| log.error(&source, text)
    };
    let more: Arc<dyn MoreTypes> = Arc::new(lookups::elsewhere(dir));
    Options {
        warn: Arc::new(warn(log, source)),
        error: Arc::new(error),
        more: Some(more),
        sensitive: true,
        ..Options::default()
    }
}
