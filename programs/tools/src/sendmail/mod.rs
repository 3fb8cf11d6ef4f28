//! sendmail(1): Postfix's command of that name, for programs and people that submit mail.
//!
//! Reads a message from standard input and hands it to `postdrop` (base_calls::maildrop); other modes run mailq,
//! newaliases, `postqueue -f` and so on. Every error ends with EX_TEMPFAIL, as Postfix's does. Works while the server is
//! down.

mod header;
mod input;
mod options;
mod smtp;
mod submit;

use crate::{places, say::Say, tools};
use base_calls::maildrop::Maildrop;
use base_conf::Config;
use base_nettables::NetTables;
use base_sys::{User, privilege, system_text};
use base_tables::{MatchKind, MatchList, Options as TableOptions, Tables, block_on, types::MoreTypes};
use options::{Mode, Options};
use proto_address::external;
use std::{
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
};

/// The record.
pub const TOOL: tools::Tool = tools::Tool { name: "sendmail", run, about: "submit a message" };

/// `EX_TEMPFAIL`.
const TEMPFAIL: u8 = 75;

/// An error that ends the command, without `fatal: `.
type Fatal = String;

/// Who runs the command.
struct Caller {
    uid: u32,
    name: String,
    gecos: String,
}

fn run(args: &[OsString]) -> ExitCode {
    let (dir, complaint) = options::configuration(args);
    if let Some(text) = complaint {
        eprintln!("sendmail: {text}");
    }
    let config = match load(&dir) {
        Ok(c) => c,
        Err(text) => return Say::new("sendmail", None).fatal(TEMPFAIL, &text),
    };
    let say = Say::new("sendmail", Some(&config));
    match serve(args, &config, &dir, &say) {
        Ok(code) => code,
        Err(text) => say.fatal(TEMPFAIL, &text),
    }
}

fn load(dir: &Path) -> Result<Config, Fatal> {
    let file = dir.join("main.cf");
    if let Err(e) = std::fs::File::open(&file) {
        return Err(format!("open {}: {}", file.display(), system_text(&e)));
    }
    Config::load(dir).map_err(|e| e.to_string())
}

fn caller() -> Result<Caller, Fatal> {
    let uid = privilege::real_uid();
    match User::by_id(uid) {
        Ok(Some(u)) => Ok(Caller { uid, name: u.name, gecos: u.gecos }),
        Ok(None) => Err(format!("unable to find login name for user ID {uid}")),
        Err(e) => Err(format!("unable to find login name for user ID {uid}: {}", system_text(&e))),
    }
}

fn serve(args: &[OsString], config: &Config, dir: &Path, say: &Say) -> Result<ExitCode, Fatal> {
    let options = options::parse(args, |warning| say.warning(warning))?;
    let caller = caller()?;
    match options.mode {
        Mode::Deliver => deliver(options, config, dir, &caller, say),
        Mode::Smtp => smtp::session(config, dir, &caller, say),
        Mode::Queue => exec("postqueue", dir, &["-p"]),
        Mode::Flush => exec("postqueue", dir, &["-f"]),
        Mode::FlushSite(ref site) => exec("postqueue", dir, &["-s", site]),
        Mode::FlushId(ref id) => exec("postqueue", dir, &["-i", id]),
        Mode::NewAliases => Ok(match &options.aliases {
            Some(file) => tool("postalias", &["-c".as_ref(), dir.as_os_str(), file.as_ref()]),
            None => tool("newaliases", &["-C".as_ref(), dir.as_os_str()]),
        }),
        Mode::Daemon => Ok(daemon(dir)),
        Mode::Nothing => Ok(ExitCode::SUCCESS),
    }
}

fn deliver(
    options: Options,
    config: &Config,
    dir: &Path,
    caller: &Caller,
    say: &Say,
) -> Result<ExitCode, Fatal> {
    let envelope = Maildrop { verp: submit::verp(&options, config)?, ..submit::envelope(&options, caller)? };
    if let Some(sender) = options.sender.as_deref().filter(|s| submit::is_malformed(s)) {
        say.warning(&format!("-f option specified malformed sender: {sender}"));
    }
    let who = format!("{}({})", envelope.sender, caller.uid);
    if envelope.recipients.is_empty() && !envelope.recipients_from_header {
        return Err(format!(
            "{who}: Recipient addresses must be specified on the command line or via the -t option"
        ));
    }
    let wants_report = envelope.report_delivery || envelope.verify_only;
    let sender = envelope.sender.clone();
    allowed(config, caller)?;
    let start = || submit::Drop::start(config, dir, caller, &envelope);
    let drop = if options.verify {
        let mut drop = start()?;
        drop.content(probe(&envelope).as_bytes())?;
        drop
    } else {
        let reader = input::Input::new(std::io::stdin().lock(), options.dot_ends);
        // Who is named on the command line need not be named in the header.
        let asks = envelope.recipients.is_empty();
        hand_over(reader, asks, start).map_err(|e| format!("{who}: {e}"))?
    };
    drop.finish(say)?;
    if wants_report {
        println!("Mail Delivery Status Report will be mailed to <{sender}>.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Copies the message. With `asks` nothing is handed over before the header has named somebody.
fn hand_over<R: std::io::BufRead>(
    mut from: input::Input<R>,
    asks: bool,
    start: impl Fn() -> Result<submit::Drop, Fatal>,
) -> Result<submit::Drop, Fatal> {
    let begin = |header: &header::Header| {
        let bytes = header.with_recipients().ok_or("No recipient addresses found in message header")?;
        let mut drop = start()?;
        drop.content(bytes).map(|()| drop)
    };
    let mut header = header::Header::default();
    let mut drop = if asks { None } else { Some(start()?) };
    from.copy(|piece| match &mut drop {
        Some(drop) => drop.content(piece),
        None if header.add(piece) => {
            drop = Some(begin(&header)?);
            Ok(())
        }
        None => Ok(()),
    })?;
    drop.map_or_else(|| begin(&header), Ok)
}

/// `authorized_submit_users`. postdrop, which has the last word, asks again.
fn allowed(config: &Config, caller: &Caller) -> Result<(), Fatal> {
    const PARAMETER: &str = "authorized_submit_users";
    let text = config.str(PARAMETER).map_err(|e| e.to_string())?;
    let more: Arc<dyn MoreTypes> = NetTables::new(config.clone());
    let tables = Tables::new(TableOptions { more: Some(more), ..TableOptions::default() });
    let list = MatchList::open(&tables, PARAMETER, &text, MatchKind::String, false);
    match block_on(list.matches(&caller.name)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("User {}({}) is not allowed to submit mail", caller.name, caller.uid)),
        Err(e) => Err(e.to_string()),
    }
}

/// The header of a `-bv` message, which is delivered nowhere.
fn probe(envelope: &Maildrop) -> String {
    let to: Vec<String> = envelope.recipients.iter().map(|r| format!("\t{}", external(&r.address))).collect();
    // From the null sender, From: is left to the mail system.
    let from = match envelope.sender.as_str() {
        "" => String::new(),
        sender => format!("From: {}\r\n", external(sender)),
    };
    format!("{from}Subject: probe\r\nTo:{}\r\n", to.join(",\r\n"))
}

/// Becomes another command of ours. Comes back only with an error.
fn exec(name: &str, dir: &Path, args: &[&str]) -> Result<ExitCode, Fatal> {
    let path = places::command(name);
    let error = Command::new(&path).arg0(name).arg("-c").arg(dir).args(args).exec();
    Err(format!("execute {}: {}", path.display(), system_text(&error)))
}

/// Another tool of this executable.
fn tool(name: &str, args: &[&OsStr]) -> ExitCode {
    let args: Vec<OsString> = args.iter().map(|arg| (*arg).to_owned()).collect();
    tools::find(name).map_or(ExitCode::FAILURE, |t| (t.run)(&args))
}

/// `-bd`: the server is there, or is started.
fn daemon(dir: &Path) -> ExitCode {
    let run = |command: &str| {
        let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("hikyaku-tools"));
        let mut c = Command::new(own);
        c.arg0("postfix").arg("-c").arg(dir).arg(command);
        c.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        c.status().is_ok_and(|s| s.success())
    };
    if run("status") || run("start") { ExitCode::SUCCESS } else { ExitCode::from(TEMPFAIL) }
}
