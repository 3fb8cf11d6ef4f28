//! newaliases(1): postalias for every table of `alias_database`. An alias of `sendmail -bi`; options of sendmail are
//! accepted, operands are not.

use super::{Command, Job, edit, options, tables};
use crate::{
    console::{Console, Fatal, load_config},
    getopt,
    tools::Tool,
};
use base_conf::Config;
use std::{
    ffi::{OsStr, OsString},
    process::ExitCode,
    sync::Arc,
};

/// The record.
pub const TOOL: Tool = Tool { name: "newaliases", run, about: "build the alias databases" };

/// sendmail's exit code for usage errors.
const EX_TEMPFAIL: u8 = 75;

/// sendmail's options.
const SPEC: &str = "A:B:b:C:c:F:f:Gh:iL:mN:no:p:r:R:tUV:vX:x";

fn run(args: &[OsString]) -> ExitCode {
    let parsed = match getopt::parse(SPEC, args) {
        Ok(parsed) => parsed,
        Err(found) => return usage_error(&Fatal::usage(found, "usage: newaliases [options]")),
    };
    if !parsed.operands.is_empty() {
        return usage_error(&Fatal::new("alias initialization mode requires no recipient"));
    }
    let dir = parsed.value('C').map(config_dir);
    match load_config(dir.as_deref()) {
        Ok(config) => rebuild(&config),
        Err(why) => Console::new("newaliases", None).fatal(&why),
    }
}

/// Errors of the command line are reported as newaliases on the terminal, as sendmail in the log.
fn usage_error(why: &Fatal) -> ExitCode {
    let console = Console::new("newaliases", None).logged_as("sendmail");
    console.fatal(why);
    EX_TEMPFAIL.into()
}

/// `-C` names the folder, or a file in it (`-C /etc/postfix/main.cf`).
fn config_dir(value: &OsStr) -> OsString {
    let path = std::path::Path::new(value);
    match path.is_file().then(|| path.parent()).flatten() {
        Some(folder) => folder.into(),
        None => value.to_owned(),
    }
}

/// Builds the databases, speaking as postalias.
pub fn rebuild(config: &Config) -> ExitCode {
    let console = Arc::new(Console::new("postalias", Some(config)));
    let done = config.list("alias_database").map_err(Fatal::new).and_then(|names| {
        let args: Vec<OsString> =
            std::iter::once("--".into()).chain(names.into_iter().map(OsString::from)).collect();
        if args.len() == 1 {
            return Ok(());
        }
        let options = options::parse(Command::Postalias, &args)?;
        let tables = tables(&console, config);
        edit::build_all(&Job {
            command: Command::Postalias,
            console: &console,
            config,
            options: &options,
            tables,
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => console.fatal(&why),
    }
}
