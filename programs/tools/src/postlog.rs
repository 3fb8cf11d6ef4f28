//! postlog(1): logs its arguments, or each line of standard input, as the mail system would.

use crate::{getopt, tools::Tool};
use base_conf::Config;
use base_log::{Log, Source, Target};
use std::{
    ffi::OsString,
    io::{BufRead, IsTerminal},
    path::PathBuf,
    process::ExitCode,
};

/// The record.
pub const TOOL: Tool = Tool { name: "postlog", run, about: "write to the mail log" };

fn run(args: &[OsString]) -> ExitCode {
    let Ok(parsed) = getopt::parse("+c:ip:t:v", args) else { return ExitCode::FAILURE };
    let text = |c| parsed.value(c).map(|v| v.to_string_lossy().into_owned());
    let dir =
        text('c').or_else(|| std::env::var("MAIL_CONFIG").ok()).unwrap_or_else(|| "/etc/postfix".into());
    let config = Config::load(&PathBuf::from(dir)).ok();
    let value = |name: &str| config.as_ref().and_then(|c| c.str(name).ok());
    let facility = value("syslog_facility").unwrap_or_else(|| "mail".into());
    let log = Log::open(&Target::from_parameters(&value("maillog_file").unwrap_or_default(), &facility));
    let name = value("syslog_name").unwrap_or_else(|| "postfix".into());
    let tag =
        text('t').or_else(|| std::env::var("MAIL_LOGTAG").ok()).unwrap_or_else(|| format!("{name}/postlog"));
    let source = Source::new(tag.clone(), std::process::id());
    let Some(level) = Level::by_name(text('p').as_deref().unwrap_or("info")) else {
        log.fatal(&source, format_args!("bad logging priority: {}", text('p').unwrap_or_default()));
        log.flush();
        return ExitCode::FAILURE;
    };
    let say = |line: &str| {
        if std::io::stderr().is_terminal() {
            eprintln!("{tag}: {}{line}", level.word());
        }
        level.log(&log, &source, line);
    };
    if parsed.operands.is_empty() {
        for line in std::io::stdin().lock().split(b'\n').map_while(Result::ok) {
            say(&String::from_utf8_lossy(&line));
        }
    } else {
        let words: Vec<_> = parsed.operands.iter().map(|o| o.to_string_lossy()).collect();
        say(&words.join(" "));
    }
    log.flush();
    ExitCode::SUCCESS
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Info,
    Warning,
    Error,
    Fatal,
    Panic,
}

impl Level {
    fn by_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "info" => Self::Info,
            "warn" | "warning" => Self::Warning,
            "error" => Self::Error,
            "fatal" => Self::Fatal,
            "panic" => Self::Panic,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Info => "",
            Self::Warning => "warning: ",
            Self::Error => "error: ",
            Self::Fatal => "fatal: ",
            Self::Panic => "panic: ",
        }
    }

    fn log(self, log: &Log, source: &Source, text: &str) {
        match self {
            Self::Info => log.info(source, text),
            Self::Warning => log.warning(source, text),
            Self::Error => log.error(source, text),
            Self::Fatal => log.fatal(source, text),
            Self::Panic => log.info(source, format_args!("panic: {text}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities() {
        for (name, want) in [
            ("info", Some(Level::Info)),
            ("WARN", Some(Level::Warning)),
            ("panic", Some(Level::Panic)),
            ("x", None),
        ] {
            assert_eq!(Level::by_name(name), want, "{name}");
        }
    }
}
