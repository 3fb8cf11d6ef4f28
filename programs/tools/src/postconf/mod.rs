//! postconf(1): shows and edits parameters and services; output and messages as Postfix's.
//!
//! - [`options`] reads the command line
//! - [`show`] lists main.cf parameters, [`known`] decides which names exist and warns of the others
//! - [`edit`] changes main.cf, [`services`] shows master.cf, [`edit_services`] changes it
//! - [`lists`] prints what the programs were built with, [`tls_library`] the cryptography, [`templates`] the texts of notices
//! - [`why`] explains a value: our addition
//!
//! Exit code 1 and `postconf: fatal: reason` on any error; files are replaced by renaming a complete new one.

mod edit;
mod edit_services;
mod fold;
mod known;
mod lists;
mod options;
pub(crate) mod replace;
mod services;
mod show;
mod templates;
mod tls_library;
mod why;

use crate::tools::Tool;
use base_conf::{Config, MainCf, MasterCf, computed::Machine};
use options::{Mode, Options};
use std::{
    ffi::OsString,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The record.
pub const TOOL: Tool = Tool { name: "postconf", run, about: "show and edit parameters and services" };

/// Why a command ends: the text after `postconf: fatal: `; empty when all has been said.
#[derive(Debug)]
pub(crate) struct Fatal {
    pub(crate) text: String,
}

impl Fatal {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

impl From<base_conf::Error> for Fatal {
    fn from(e: base_conf::Error) -> Self {
        Self::new(e.to_string())
    }
}

impl From<std::io::Error> for Fatal {
    fn from(e: std::io::Error) -> Self {
        Self::new(describe(&e))
    }
}

/// The system's words, without Rust's number.
fn describe(e: &std::io::Error) -> String {
    let text = e.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(t, _)| t.to_owned())
}

type Done = Result<(), Fatal>;

fn run(args: &[OsString]) -> ExitCode {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let result = options::parse(args).and_then(|o| execute(&o, &mut out));
    let result = result.and_then(|()| Ok(out.flush()?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fatal { text }) => {
            let _ = out.flush();
            if text.is_empty() {
                return ExitCode::FAILURE;
            }
            eprintln!("{}: fatal: {text}", own_name());
            ExitCode::FAILURE
        }
    }
}

/// The name this was called by, as Postfix says it in messages.
fn own_name() -> String {
    let called = std::env::args().next().unwrap_or_default();
    if called.rsplit('/').next() == Some("postconf") { called } else { "postconf".to_owned() }
}

fn warn(text: &str) {
    eprintln!("{}: warning: {text}", own_name());
}

fn execute(o: &Options, out: &mut dyn Write) -> Done {
    match o.mode {
        Mode::Show => show::show(o, out),
        Mode::Edit(kind) => edit::run(o, kind),
        Mode::Master | Mode::Fields | Mode::Overrides => services::show(o, out),
        Mode::EditMaster(kind) => edit_services::run(o, kind),
        Mode::Templates { expanded } => templates::print(o, expanded, out),
        Mode::List(list) => lists::print(list, out),
        Mode::TlsLibrary => tls_library::print(o, out),
        Mode::Why => why::show(o, out),
    }
}

/// Where the configuration is when nothing says otherwise.
const DEFAULT_DIR: &str = "/etc/postfix";

/// `-c`, `MAIL_CONFIG`, or the default.
fn config_dir(o: &Options) -> PathBuf {
    let set = o.config_dir.clone().or_else(|| std::env::var_os("MAIL_CONFIG"));
    set.map_or_else(|| PathBuf::from(DEFAULT_DIR), PathBuf::from)
}

/// main.cf of the instance, with `-o` overrides; its reading warnings are printed.
fn load_config(o: &Options) -> Result<Config, Fatal> {
    let dir = config_dir(o);
    let main = MainCf::load(&dir)?;
    if !o.quiet {
        main.warnings.iter().for_each(|w| warn(w));
    }
    let cfg = Config::new(&dir, main, Machine::this()).process("postconf");
    Ok(cfg.with(o.overrides.iter().cloned()))
}

/// The built-in configuration, as `-d` shows it.
fn default_config(o: &Options) -> Config {
    Config::new(Path::new(DEFAULT_DIR), MainCf::default(), Machine::this())
        .process("postconf")
        .with(o.overrides.iter().cloned())
}

/// master.cf in Postfix's words when it cannot be read.
fn load_master(dir: &Path) -> Result<MasterCf, Fatal> {
    let master = MasterCf::load(dir).map_err(|e| match e.text.as_str() {
        "bad field count" => Fatal::new(format!("file {}: line {}: {}", e.file.display(), e.line, e.text)),
        _ => Fatal::new(e.text),
    })?;
    master.warnings.iter().for_each(|w| warn(w));
    Ok(master)
}
