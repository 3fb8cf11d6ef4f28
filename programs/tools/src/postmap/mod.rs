//! postmap(1) and postalias(1): build, query and edit lookup tables. newaliases(1): build `alias_database`.
//!
//! Output, warnings and exit codes are Debian's Postfix's: 0 when done or found, 1 when not found or on any error.

mod edit;
mod message;
mod newaliases;
mod options;
mod privileges;
mod query;

use crate::{
    console::{Console, Fatal, load_config},
    tools::Tool,
};
use base_conf::Config;
use base_nettables::NetTables;
use base_tables::{Options as TableOptions, ProxyRead, Tables, Warn, types::MoreTypes};
use options::{Options, Work};
use std::{ffi::OsString, process::ExitCode, sync::Arc};

pub use newaliases::TOOL as NEWALIASES;

/// The records.
pub const POSTMAP: Tool = Tool { name: "postmap", run: run_postmap, about: "build and query lookup tables" };
/// postalias.
pub const POSTALIAS: Tool =
    Tool { name: "postalias", run: run_postalias, about: "build and query alias databases" };

/// What differs between the two commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `key value` sources.
    Postmap,
    /// `name: value` sources.
    Postalias,
}

impl Command {
    fn name(self) -> &'static str {
        match self {
            Command::Postmap => "postmap",
            Command::Postalias => "postalias",
        }
    }
}

fn run_postmap(args: &[OsString]) -> ExitCode {
    run(Command::Postmap, args)
}

fn run_postalias(args: &[OsString]) -> ExitCode {
    run(Command::Postalias, args)
}

fn run(command: Command, args: &[OsString]) -> ExitCode {
    let options = match options::parse(command, args) {
        Ok(options) => options,
        Err(why) => return Console::new(command.name(), None).fatal(&why),
    };
    let config = match load_config(options.dir.as_deref()) {
        Ok(config) => config,
        Err(why) => return Console::new(command.name(), None).fatal(&why),
    };
    let console = Arc::new(Console::new(command.name(), Some(&config)));
    if let Err(broken) = config.check() {
        console.warning(&broken.text);
        return console.fatal(&Fatal::new("dictionary mail_dict: macro processing error"));
    }
    let code = match perform(command, &console, &config, &options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => console.fatal(&why),
    };
    console.flush();
    code
}

/// Gives whether everything asked for was found.
fn perform(
    command: Command,
    console: &Arc<Console>,
    config: &Config,
    options: &Options,
) -> Result<bool, Fatal> {
    let work = Job { command, console, config, options, tables: tables(console, config) };
    match &options.work {
        Work::Build => edit::build_all(&work).map(|()| true),
        Work::Add => edit::add_all(&work).map(|()| true),
        Work::Delete(key) => edit::delete(&work, key),
        Work::Query(key) => query::query(&work, key),
        Work::List => query::list(&work),
    }
}

/// One run of the command.
pub struct Job<'a> {
    command: Command,
    console: &'a Arc<Console>,
    config: &'a Config,
    options: &'a Options,
    tables: Arc<Tables>,
}

impl Job<'_> {
    /// The tables named on the command line, with the default type where none is given.
    fn specs(&self) -> Result<Vec<String>, Fatal> {
        let kind = self.config.str("default_database_type").map_err(Fatal::new)?;
        let spec = |name: &String| if name.contains(':') { name.clone() } else { format!("{kind}:{name}") };
        Ok(self.options.tables.iter().map(spec).collect())
    }

    fn warn(&self, text: &str) {
        self.console.warning(text);
    }
}

fn tables(console: &Arc<Console>, config: &Config) -> Arc<Tables> {
    let shown = console.clone();
    let warn: Warn = Arc::new(move |text: &str| shown.warning(text));
    let told = console.clone();
    let info: Warn = Arc::new(move |text: &str| told.info(text));
    // What proxymap(8) says stands in the mail log only, under its name.
    let logged = console.clone();
    let proxy_warn: Warn = Arc::new(move |text: &str| logged.log_warning_as("proxymap", text));
    let logged = console.clone();
    let proxy_error: Warn = Arc::new(move |text: &str| logged.log_error_as("proxymap", text));
    let proxy = match config.str("proxy_read_maps") {
        Ok(text) => ProxyRead::Listed(base_conf::list::split(&text).into_iter().map(str::to_owned).collect()),
        Err(_) => ProxyRead::Listed(Vec::new()),
    };
    let more: Arc<dyn MoreTypes> = NetTables::new(config.clone());
    let more = Some(more);
    Tables::new(TableOptions { warn, info, proxy_warn, proxy_error, proxy, more, ..TableOptions::default() })
}
