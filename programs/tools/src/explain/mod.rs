//! `postfix explain`: what the server would say to a client, or what it has said, and why: each list, restriction, table lookup and
//! verdict.
//!
//! `postfix explain --client IP --from SENDER --to RECIPIENT [--name NAME] [--reverse NAME] [--helo NAME] [--user LOGIN] [--tls]
//! [--size N] [--service NAME] [-j]` asks the server's own evaluator ([`imagined`]): exit status 0 when the recipient would be
//! accepted, 1 when not. `postfix explain [-j] [--last N] QUEUE-ID | ADDRESS | IP` shows what was decided ([`past`]): 0 when something
//! is known, 1 when not. 2: the question cannot be answered.

mod imagined;
mod past;
mod show;

use anyhow::Result;
use std::{ffi::OsString, path::Path, process::ExitCode};

/// How it is called.
const USAGE: &str = "usage: postfix explain --client IP --from SENDER --to RECIPIENT [--name NAME] [--reverse NAME] [--helo NAME] \
                     [--user LOGIN] [--tls] [--size N] [--service NAME] [-j], or \
                     postfix explain [-j] [--last N] QUEUE-ID | ADDRESS | IP";

/// Answers the question from the configuration in `dir`, or from what its server remembers.
pub fn run(dir: &Path, args: &[OsString]) -> ExitCode {
    match answer(dir, args) {
        Ok(yes) => ExitCode::from(u8::from(!yes)),
        Err(e) => {
            eprintln!("postfix: explain: {e:#}");
            ExitCode::from(2)
        }
    }
}

fn answer(dir: &Path, args: &[OsString]) -> Result<bool> {
    if let Some(question) = past::Question::parse(args)? {
        return past::answer(dir, &question);
    }
    let question = imagined::Question::parse(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(imagined::answer(dir, &question))
}
