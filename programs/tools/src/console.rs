//! What a command says: to standard error as `NAME: text`, and to the mail log as the daemons do.
//!
//! Commands that Postfix logs (postsuper, postcat …) report through this. Before the configuration is read, the log is the
//! system's default. A fatal error ends with exit code 1, after usage errors too, as Postfix's commands do.

use base_conf::Config;
use base_log::{Facility, Log, Source, Target};
use std::{
    ffi::OsStr,
    fmt::Display,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Where the configuration is when nothing else is said.
const DEFAULT_DIR: &str = "/etc/postfix";

/// Standard error and the mail log.
pub struct Console {
    name: &'static str,
    log: Option<Log>,
    source: Source,
}

/// Why a command ends early: the text after `fatal: `, and a line that getopt printed before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fatal {
    before: Option<String>,
    text: String,
}

impl Fatal {
    /// An error.
    pub fn new(text: impl Display) -> Self {
        Self { before: None, text: text.to_string() }
    }

    /// A usage error: what getopt found, and the usage line.
    pub fn usage(found: impl Display, usage: &str) -> Self {
        Self { before: Some(found.to_string()), text: usage.to_owned() }
    }
}

impl std::fmt::Display for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Console {
    /// The same terminal, logged under another program's name.
    pub fn logged_as(mut self, program: &str) -> Self {
        self.source = self.source.named(format!("{}/{program}", self.prefix()));
        self
    }

    /// A warning for the mail log only, under another program's name.
    pub fn log_warning_as(&self, program: &str, text: impl Display) {
        let source = self.source.named(format!("{}/{program}", self.prefix()));
        self.log(|log, _| log.warning(&source, text));
    }

    /// An error for the mail log only, under another program's name.
    pub fn log_error_as(&self, program: &str, text: impl Display) {
        let source = self.source.named(format!("{}/{program}", self.prefix()));
        self.log(|log, _| log.error(&source, text));
    }

    fn prefix(&self) -> &str {
        self.source.name.rsplit_once('/').map_or("postfix", |(prefix, _)| prefix)
    }

    /// A console for the command `name` that logs as the configuration says, if there is one.
    pub fn new(name: &'static str, config: Option<&Config>) -> Self {
        let get = |parameter: &str| config.and_then(|c| c.str(parameter).ok());
        let facility = get("syslog_facility").unwrap_or_default();
        let target = match get("maillog_file") {
            Some(file) if file != "/dev/stdout" => Target::from_parameters(&file, &facility),
            _ => Target::Syslog("/dev/log".into(), Facility::by_name(&facility).unwrap_or(Facility::MAIL)),
        };
        let syslog_name = get("syslog_name").filter(|n| !n.is_empty()).unwrap_or_else(|| "postfix".into());
        let source = Source::new(format!("{syslog_name}/{name}"), std::process::id());
        Self { name, log: Some(Log::open(&target)), source }
    }

    /// A console for a command that does not log.
    pub fn unlogged(name: &'static str) -> Self {
        Self { name, log: None, source: Source::new(name, std::process::id()) }
    }

    fn log(&self, say: impl FnOnce(&Log, &Source)) {
        if let Some(log) = &self.log {
            say(log, &self.source);
        }
    }

    /// Says something.
    pub fn info(&self, text: impl Display) {
        eprintln!("{}: {}", self.name, base_log::mask(&text.to_string()));
        self.log(|log, source| log.info(source, text));
    }

    /// Warns.
    pub fn warning(&self, text: impl Display) {
        eprintln!("{}: warning: {}", self.name, base_log::mask(&text.to_string()));
        self.log(|log, source| log.warning(source, text));
    }

    /// Reports why the command ends, and gives its exit code.
    pub fn fatal(&self, why: &Fatal) -> ExitCode {
        if let Some(before) = &why.before {
            eprintln!("{}: {before}", self.name);
        }
        eprintln!("{}: fatal: {}", self.name, base_log::mask(&why.text));
        self.log(|log, source| log.fatal(source, &why.text));
        ExitCode::FAILURE
    }

    /// Waits until all is in the log. Dropping does it too, but others may hold the console when the command ends.
    pub fn flush(&self) {
        self.log(|log, _| log.flush());
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Reads main.cf of the folder given by `-c`, else by `MAIL_CONFIG`, else the usual one.
pub fn load_config(dir: Option<&OsStr>) -> Result<Config, Fatal> {
    let named = dir.map(PathBuf::from).or_else(|| std::env::var_os("MAIL_CONFIG").map(PathBuf::from));
    let dir = named.unwrap_or_else(|| DEFAULT_DIR.into());
    Config::load(&dir).map_err(|e| {
        let file = dir.join("main.cf");
        match std::fs::File::open(&file) {
            Err(e) => Fatal::new(format!("open {}: {}", file.display(), base_sys::system_text(&e))),
            Ok(_) => Fatal::new(e),
        }
    })
}

/// `queue_directory`.
pub fn queue_directory(config: &Config) -> Result<PathBuf, Fatal> {
    Ok(Path::new(&config.str("queue_directory").map_err(Fatal::new)?).to_owned())
}

/// Whether `id` may be a queue id at all (letters and digits).
pub fn is_queue_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 100 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
