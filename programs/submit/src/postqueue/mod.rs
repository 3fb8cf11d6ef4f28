//! postqueue(1): list the queue, ask for deliveries. `mailq` and `sendmail -bp`, `-q` run it.
//!
//! Runs with the right of the setgid group, which opens the worker's sockets in `public`; whatever comes from the caller
//! (options, environment, configuration directory) is suspect. Reads nothing of the queue itself: when the server is
//! down, the super-user gets the listing from `hikyaku-tools showq`, anybody else is told so. Problems go to standard
//! error and the log; exit status 69 as Postfix's.

mod ask;
pub(crate) mod options;
mod print;
pub(crate) mod users;

use base_conf::Config;
use base_log::{Log, Source, Target};
use base_sys::privilege;
use options::Request;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// `EX_UNAVAILABLE` of sysexits.h.
const UNAVAILABLE: u8 = 69;

/// Why the request was not served.
#[derive(Debug, PartialEq, Eq)]
pub struct Fatal {
    /// Lines to be shown before it, with their own `warning:` or `error:`.
    pub before: Vec<String>,
    /// The reason, shown after `fatal:`.
    pub text: String,
}

impl Fatal {
    /// A reason alone.
    pub fn new(text: impl Into<String>) -> Self {
        Self { before: Vec::new(), text: text.into() }
    }

    /// A reason after another line.
    pub fn after(before: impl Into<String>, text: impl Into<String>) -> Self {
        Self { before: vec![before.into()], text: text.into() }
    }
}

/// Runs the command with the arguments after its name.
pub fn main(args: &[OsString]) -> ExitCode {
    let options = match options::parse(args) {
        Ok(options) => options,
        Err(e) => return say_and_log(None, &e),
    };
    let cfg = match options::config(&options) {
        Ok(cfg) => cfg,
        Err(e) => return say_and_log(Config::load(Path::new(options::DEFAULT_DIR)).ok().as_ref(), &e),
    };
    match run(&cfg, &options.request) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => say_and_log(Some(&cfg), &e),
    }
}

fn run(cfg: &Config, request: &Request) -> Result<(), Fatal> {
    match request {
        Request::List { json, wanted } => {
            users::check(cfg, "authorized_mailq_users", "view the mail queue")?;
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            let result = ask::listing(
                cfg,
                |line| warn(cfg, line),
                &mut print::Printer::new(cfg, *json, wanted),
                &mut out,
            );
            let flushed = out.flush();
            result.and_then(|()| flushed.map_err(|e| ask::write_error(&e)))
        }
        Request::Flush => {
            users::check(cfg, "authorized_flush_users", "flush the mail queue")?;
            ask::flush(cfg)
        }
        Request::Deliver(id) => {
            users::check(cfg, "authorized_flush_users", "flush the mail queue")?;
            ask::deliver(cfg, id)
        }
        Request::Site(site) => {
            users::check(cfg, "authorized_flush_users", "flush the mail queue")?;
            ask::site(cfg, site)
        }
    }
}

/// Shows a warning and logs it.
fn warn(cfg: &Config, text: &str) {
    eprintln!("postqueue: {text}");
    log(Some(cfg), &[text.to_owned()]);
}

fn say_and_log(cfg: Option<&Config>, fatal: &Fatal) -> ExitCode {
    let mut lines = fatal.before.clone();
    lines.push(format!("fatal: {}", fatal.text));
    for line in &lines {
        eprintln!("postqueue: {line}");
    }
    // What getopt says itself goes to standard error only.
    lines.retain(|l| !l.starts_with("invalid option") && !l.starts_with("option requires"));
    log(cfg, &lines);
    ExitCode::from(UNAVAILABLE)
}

fn log(cfg: Option<&Config>, lines: &[String]) {
    let get = |name: &str| cfg.and_then(|c| c.str(name).ok()).unwrap_or_default();
    // A file that postlogd writes is not for the caller's rights: only root writes it directly.
    let file = if privilege::is_root() { get("maillog_file") } else { String::new() };
    let syslog_name = Some(get("syslog_name")).filter(|n| !n.is_empty()).unwrap_or_else(|| "postfix".into());
    let log = Log::open(&Target::from_parameters(&file, &get("syslog_facility")));
    let source = Source::new(format!("{syslog_name}/postqueue"), std::process::id());
    for line in lines {
        log.info(&source, line);
    }
    log.flush();
}
