//! postfix(1): start, stop, reload, status, check and their kin, with the messages and exit codes of Postfix's
//! postfix-script.
//!
//! It starts `hikyaku-master` and talks to it by signals; the lock on `pid/master.pid` says whether one runs.

use crate::{check, doctor, explain, getopt, import_queue, places, rotate, say::Say, server, tools::Tool};
use anyhow::{Context, Result, anyhow, bail};
use base_conf::Config;
use base_sys::{
    Group, User,
    handoff::ENV_CONFIG,
    locks::{Patience, flock},
    privilege,
    process::{Sig, is_alive, send_signal},
};
use std::{
    ffi::OsString,
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

/// The record.
pub const TOOL: Tool = Tool { name: "postfix", run, about: "start, stop and look after the server" };

/// How long `stop` waits for an orderly end.
const STOP_LIMIT: Duration = Duration::from_secs(20);

fn run(args: &[OsString]) -> ExitCode {
    let parsed = match getopt::parse("+c:Dv", args) {
        Ok(p) => p,
        Err(e) => {
            eprintln!("postfix: {e}");
            return Say::under(SCRIPT, "postfix-script", None).fatal(1, USAGE);
        }
    };
    let dir = parsed.value('c').map(PathBuf::from);
    let dir = dir
        .or_else(|| std::env::var_os(ENV_CONFIG).map(PathBuf::from))
        .unwrap_or_else(|| "/etc/postfix".into());
    let (command, more) = match parsed.operands.as_slice() {
        [command, more @ ..] if command == "explain" => return explain::run(&dir, more),
        [command, more @ ..] if command == "import-queue" => return import_queue::run(&dir, more),
        [command, more @ ..] if command == "doctor" => return doctor::run(&dir, more),
        [command, more] if command == "status" && more == "-v" => (command, &[][..]),
        [command, more @ ..] if more.is_empty() || command == "check" => (command, more),
        _ => return Say::under(SCRIPT, "postfix-script", Config::load(&dir).ok().as_ref()).fatal(1, USAGE),
    };
    let command = command.to_string_lossy().into_owned();
    let options = match check::Options::parse(more) {
        Ok(o) => o,
        Err(e) => return Say::under(SCRIPT, "postfix-script", None).fatal(1, &format!("check: {e}")),
    };
    let details = parsed.operands.len() > 1 && command == "status";
    let verbose = parsed.options.iter().filter(|(c, _)| *c == 'v').count();
    let instance = match Instance::open(&dir, verbose) {
        Ok(i) => i,
        Err(e) => return unreadable(&dir, &command, &e, options),
    };
    instance.run(&command, options, details)
}

/// main.cf cannot be read: nothing runs, but the check says what was probably meant.
fn unreadable(dir: &Path, command: &str, error: &anyhow::Error, options: check::Options) -> ExitCode {
    let status = Say::new("postfix", None).fatal(1, &format!("{error:#}"));
    let say = Say::under(SCRIPT, "postfix-script", None);
    match command {
        "check" => drop(check::run(dir, options, &say)),
        "start" | "start-fg" | "reload" => check::warn(dir, &say),
        _ => {}
    }
    status
}

/// The commands, for help and completion; each is what [`Instance::run`] knows, or has a file of its own.
pub const COMMANDS: &[(&str, &str)] = &[
    ("abort", "end the server at once"),
    ("check", "find mistakes in the configuration (-j, -v, --strict)"),
    ("doctor", "look at what is outside: DNS, port 25, block lists, clock, disk (-j, -v, --address IP)"),
    ("drain", "end the server when deliveries under way are done"),
    ("explain", "what the server says to a client, and why"),
    ("flush", "try to deliver all deferred mail now"),
    ("import-queue", "take over the queue of a stopped Postfix (-n: only say what would be done)"),
    ("logrotate", "put maillog_file aside, compress it and go on with a new one"),
    ("reload", "read the configuration again, and go over to programs that were installed meanwhile"),
    ("set-permissions", "nothing: master sets owners and modes when it starts"),
    ("start", "start the server"),
    ("start-fg", "run the server in the foreground, as a container's first process too"),
    ("status", "whether the server runs; with -v how it is"),
    ("stop", "end the server in an orderly way"),
    ("upgrade-configuration", "nothing: main.cf and master.cf of older versions work as they are"),
];

const USAGE: &str = "usage: postfix [-c config_dir] [-Dv] command";

/// Postfix's script name in its messages.
const SCRIPT: &str = "postfix/postfix-script";

struct Instance {
    dir: PathBuf,
    config: Config,
    queue: PathBuf,
    verbose: usize,
    say: Say,
}

impl Instance {
    fn open(dir: &Path, verbose: usize) -> Result<Self> {
        let dir = std::path::absolute(dir)?;
        let config = Config::load(&dir).map_err(|e| match File::open(dir.join("main.cf")) {
            Err(io) => anyhow!("open {}: {}", dir.join("main.cf").display(), base_sys::system_text(&io)),
            Ok(_) => anyhow!("{e}"),
        })?;
        let queue = PathBuf::from(config.str("queue_directory")?);
        let say = Say::under(SCRIPT, "postfix-script", Some(&config));
        Ok(Self { dir, config, queue, verbose, say })
    }

    fn run(&self, command: &str, options: check::Options, details: bool) -> ExitCode {
        let done = match command {
            "start" => self.start(),
            "start-fg" => self.start_foreground(),
            "stop" | "quick-stop" => self.stop(),
            "drain" => self.stop(),
            "abort" => self.abort(),
            "reload" => self.reload(),
            "status" => return self.status(details),
            "check" => return self.check(options),
            "flush" => self.flush(),
            "logrotate" => self.rotate(),
            "set-permissions" | "upgrade-configuration" | "post-install" => {
                println!("postfix: {command}: nothing to do, master sets owners and modes when it starts");
                Ok(())
            }
            _ => {
                self.say.info(&format!("error: unknown command: '{command}'"));
                return self.say.fatal(1, "usage: postfix start (or stop, reload, abort, flush, check, status, set-permissions, upgrade-configuration, logrotate)");
            }
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => self.say.fatal(1, &format!("{e:#}")),
        }
    }

    /// Warns of mistakes before the configuration is used; one that cannot be read is not.
    fn look_at_configuration(&self) -> Result<()> {
        let readable = check::postconf(&self.dir, &self.config);
        check::warn(&self.dir, &self.say);
        if readable { Ok(()) } else { bail!("the configuration cannot be read, nothing was changed") }
    }

    /// The process id of the running master, if one runs.
    fn running(&self) -> Option<u32> {
        let path = self.queue.join("pid/master.pid");
        let file = File::open(&path).ok()?;
        if flock(&file, &Patience::ONCE).unwrap_or(true) {
            return None;
        }
        // The lock is taken before the number is written.
        for _ in 0..50 {
            if let Some(pid) = std::fs::read_to_string(&path).ok().and_then(|t| t.trim().parse().ok()) {
                return Some(pid);
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }

    fn expect_running(&self) -> Result<u32> {
        self.running().context("the Postfix mail system is not running")
    }

    fn master(&self) -> Result<PathBuf> {
        places::daemon(&self.config, "hikyaku-master").with_context(|| {
            format!(
                "cannot find hikyaku-master in {}",
                self.config.str("daemon_directory").unwrap_or_default()
            )
        })
    }

    fn start(&self) -> Result<()> {
        if self.running().is_some() {
            bail!("the Postfix mail system is already running");
        }
        self.look_at_configuration()?;
        self.say.info("starting the Postfix mail system");
        let status = self.master_command()?.arg("-w").status().context("cannot start hikyaku-master")?;
        if !status.success() {
            bail!("mail system startup failed");
        }
        Ok(())
    }

    fn start_foreground(&self) -> Result<()> {
        if self.running().is_some() {
            bail!("the Postfix mail system is already running");
        }
        self.look_at_configuration()?;
        self.say.info("starting the Postfix mail system");
        let error = self.master_command()?.arg("-s").exec();
        bail!("cannot start hikyaku-master: {}", base_sys::system_text(&error))
    }

    fn master_command(&self) -> Result<Command> {
        let mut command = Command::new(self.master()?);
        command.arg("-c").arg(&self.dir).args((0..self.verbose).map(|_| "-v")).env(ENV_CONFIG, &self.dir);
        Ok(command)
    }

    fn stop(&self) -> Result<()> {
        let pid = self.expect_running()?;
        self.say.info("stopping the Postfix mail system");
        self.end(pid, Sig::Term)
    }

    fn abort(&self) -> Result<()> {
        let pid = self.expect_running()?;
        self.say.info("aborting the Postfix mail system");
        self.end(pid, Sig::Kill)
    }

    /// Sends the signal and waits until master is gone, if need be by force. Its children end with it.
    fn end(&self, pid: u32, sig: Sig) -> Result<()> {
        if !send_signal(pid, sig)? {
            return Ok(());
        }
        let end = Instant::now() + STOP_LIMIT;
        while is_alive(pid) && self.running() == Some(pid) {
            if Instant::now() >= end {
                self.say.warning("stubborn processes are being killed");
                send_signal(pid, Sig::Kill)?;
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn reload(&self) -> Result<()> {
        let pid = self.expect_running()?;
        self.look_at_configuration()?;
        self.say.info("refreshing the Postfix mail system");
        send_signal(pid, Sig::Hup)?;
        Ok(())
    }

    /// Puts the log aside and has the server open a new one.
    fn rotate(&self) -> Result<()> {
        rotate::run(&self.config, |after| {
            if let Some(pid) = self.running() {
                send_signal(pid, Sig::Hup)?;
            }
            after()
        })
    }

    /// `details`: what the server says of itself, after Postfix's line.
    fn status(&self, details: bool) -> ExitCode {
        match self.running() {
            Some(pid) => {
                self.say.info(&format!("the Postfix mail system is running: PID: {pid}"));
                if details {
                    match server::page(&self.queue, "/status") {
                        Ok(page) => print!("{page}"),
                        Err(e) => println!("not known: {}", base_sys::system_text(&e)),
                    }
                }
                ExitCode::SUCCESS
            }
            None => {
                self.say.info("the Postfix mail system is not running");
                ExitCode::FAILURE
            }
        }
    }

    /// Everything that `start` needs, and the mistakes in the configuration: one line for each.
    fn check(&self, options: check::Options) -> ExitCode {
        let mut bad = false;
        let mut problem = |text: String| {
            self.say.info(&format!("fatal: {text}"));
            bad = true;
        };
        if let Err(e) = self.master() {
            problem(e.to_string());
        }
        if privilege::is_root() {
            for (parameter, known) in
                [("mail_owner", user_exists as fn(&str) -> bool), ("setgid_group", group_exists)]
            {
                let name = self.config.str(parameter).unwrap_or_default();
                if !known(&name) && !self.config.is_set(parameter) {
                    problem(format!("{parameter}: unknown name \"{name}\""));
                }
            }
        }
        bad |= !check::postconf(&self.dir, &self.config);
        let found = check::run(&self.dir, options, &self.say);
        if bad { ExitCode::FAILURE } else { found }
    }

    fn flush(&self) -> Result<()> {
        let error = Command::new(places::command("postqueue"))
            .arg0("postqueue")
            .arg("-c")
            .arg(&self.dir)
            .arg("-f")
            .exec();
        bail!("cannot run postqueue: {}", base_sys::system_text(&error))
    }
}

fn user_exists(name: &str) -> bool {
    matches!(User::by_name(name), Ok(Some(_)))
}

fn group_exists(name: &str) -> bool {
    matches!(Group::by_name(name), Ok(Some(_)))
}
