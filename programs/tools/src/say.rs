//! What a tool has to say of itself: on standard error as `name: fatal: text`, and in the log as `postfix/name`.
//!
//! Used by the tools that Postfix lets log too (sendmail, postfix, postlog).

use base_conf::Config;
use base_log::{Log, Source, Target};
use std::process::ExitCode;

/// One tool's voice.
pub struct Say {
    name: &'static str,
    log: Log,
    source: Source,
}

impl Say {
    /// Logs where `config` says; by its defaults without.
    pub fn new(name: &'static str, config: Option<&Config>) -> Self {
        Self::under(name, name, config)
    }

    /// With another name in the log than on the terminal: `postfix-script`.
    pub fn under(name: &'static str, logged: &str, config: Option<&Config>) -> Self {
        let value = |n: &str| config.and_then(|c| c.str(n).ok());
        let facility = value("syslog_facility").unwrap_or_else(|| "mail".into());
        let file = value("maillog_file").unwrap_or_default();
        let log = Log::open(&Target::from_parameters(&file, &facility));
        let syslog_name = value("syslog_name").unwrap_or_else(|| "postfix".into());
        Self { name, log, source: Source::new(format!("{syslog_name}/{logged}"), std::process::id()) }
    }

    /// `warning: text`.
    pub fn warning(&self, text: &str) {
        eprintln!("{}: warning: {text}", self.name);
        self.log.warning(&self.source, text);
    }

    /// Plain text.
    pub fn info(&self, text: &str) {
        eprintln!("{}: {text}", self.name);
        self.log.info(&self.source, text);
    }

    /// Plain text, for the log alone.
    pub fn log(&self, text: &str) {
        self.log.info(&self.source, text);
    }

    /// `fatal: text`, and the exit code to end with.
    pub fn fatal(&self, code: u8, text: &str) -> ExitCode {
        eprintln!("{}: fatal: {text}", self.name);
        self.log.fatal(&self.source, text);
        self.log.flush();
        ExitCode::from(code)
    }
}

impl Drop for Say {
    fn drop(&mut self) {
        self.log.flush();
    }
}
