//! Who says a line, and how grave it is.

use std::sync::Arc;

/// The origin of a line: `postfix/smtpd[12345]`. The number names one session at a time, since log analysers
/// correlate lines by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `syslog_name/program`.
    pub name: Arc<str>,
    /// Number shown in brackets.
    pub pid: u32,
}

impl Source {
    /// Makes one.
    pub fn new(name: impl Into<Arc<str>>, pid: u32) -> Self {
        Self { name: name.into(), pid }
    }

    /// The same session under another program name.
    pub fn named(&self, name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), pid: self.pid }
    }
}

/// How grave a line is. All but `Info` are shown as a word in front of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Normal operation.
    Info,
    /// `warning:`
    Warning,
    /// `error:`
    Error,
    /// `fatal:` — the process or session ends.
    Fatal,
    /// `panic:` — a bug.
    Panic,
}

impl Severity {
    /// The word before the text, with its colon and blank.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Info => "",
            Self::Warning => "warning: ",
            Self::Error => "error: ",
            Self::Fatal => "fatal: ",
            Self::Panic => "panic: ",
        }
    }

    /// In JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
            Self::Panic => "panic",
        }
    }

    /// The syslog(3) level.
    pub const fn level(self) -> u8 {
        match self {
            Self::Info => 6,
            Self::Warning => 4,
            Self::Error => 3,
            Self::Fatal | Self::Panic => 2,
        }
    }
}
