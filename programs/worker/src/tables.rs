//! The lookup tables of one configuration: a set for each program name of Postfix, as each of its processes opens its
//! tables by itself and warns under its own name. `proxy:` tables open what proxy_read_maps lists and warn as proxymap.

use crate::Process;
use anyhow::Result;
use base_conf::Config;
use base_log::{Log, Source};
use base_nettables::NetTables;
use base_sys::opener::Opener;
use base_tables::{Options, ProxyRead, Tables, Warn, types::MoreTypes};
use std::{cell::RefCell, collections::HashMap, sync::Arc, time::Duration};

/// How often a table's file is looked at for changes while the table is in use.
const CHECK: Duration = Duration::from_millis(10);

/// Tables by the name under which their trouble is logged.
pub struct TableSets {
    log: Log,
    base: Options,
    sets: RefCell<HashMap<String, Arc<Tables>>>,
}

impl TableSets {
    /// None is open yet.
    pub fn new(process: &Process, cfg: &Config) -> Result<Self> {
        let log = process.log.clone();
        let proxymap = log.session_source(format!("{}/proxymap", cfg.str("syslog_name")?));
        let (proxy_warn, proxy_error) = reporters(&log, &proxymap);
        let more: Arc<dyn MoreTypes> = NetTables::new(cfg.clone());
        let base = Options {
            proxy_warn,
            proxy_error,
            proxy: ProxyRead::Listed(cfg.process("proxymap").list("proxy_read_maps")?),
            check_every: CHECK,
            more: Some(more),
            opener: Arc::clone(&process.opener) as Arc<dyn Opener>,
            ..Options::default()
        };
        Ok(Self { log, base, sets: RefCell::default() })
    }

    /// Opens files that may be readable by root only.
    pub fn opener(&self) -> Arc<dyn Opener> {
        Arc::clone(&self.base.opener)
    }

    /// The tables of the service whose view this is.
    pub fn of(&self, cfg: &Config) -> Result<Arc<Tables>> {
        let name = format!("{}/{}", cfg.str("syslog_name")?, cfg.str("process_name")?);
        let mut sets = self.sets.borrow_mut();
        let set = sets.entry(name).or_insert_with_key(|name| {
            let source = self.log.session_source(name.as_str());
            let (warn, error) = reporters(&self.log, &source);
            let log = self.log.clone();
            let info: Warn = Arc::new(move |text: &str| log.info(&source, text));
            Tables::new(Options { warn, error, info, ..self.base.clone() })
        });
        Ok(Arc::clone(set))
    }
}

/// Where warnings and errors of a source go.
fn reporters(log: &Log, source: &Source) -> (Warn, Warn) {
    let (warn_log, warn_source) = (log.clone(), source.clone());
    let (log, source) = (log.clone(), source.clone());
    (
        Arc::new(move |text: &str| warn_log.warning(&warn_source, text)),
        Arc::new(move |text: &str| log.error(&source, text)),
    )
}
