//! postsuper(1): delete, hold, release, requeue and expire queued messages.
//!
//! A running server is asked to do it; when none runs, the queue is opened and changed here. Messages are those of
//! Postfix: one line for each message named, none for `ALL`, and a count for each kind of action. Errors end with exit code
//! 1; an unknown id is none. `--to`, `--from`, `--reason`, `--older-than` (an extension) choose among the messages named. `-p`, `-s` and `-S` have nothing to do: opening the spool does it.

mod direct;
mod options;
mod work;

pub(crate) use direct::become_owner;

use crate::{
    console::{Console, Fatal, load_config, queue_directory},
    listing,
    tools::Tool,
};
use base_calls::Timestamp;
use base_conf::Config;
use base_sys::privilege;
use options::Options;
use std::{collections::HashSet, ffi::OsString, os::unix::fs::MetadataExt, path::Path, process::ExitCode};

/// The record.
pub const TOOL: Tool = Tool { name: "postsuper", run, about: "delete, hold, requeue queued messages" };

fn run(args: &[OsString]) -> ExitCode {
    let options = match options::parse(args) {
        Ok(options) => options,
        Err(why) => return Console::new("postsuper", None).fatal(&why),
    };
    let config = match load_config(options.dir.as_deref()) {
        Ok(config) => config,
        Err(why) => return Console::new("postsuper", None).fatal(&why),
    };
    let console = Console::new("postsuper", Some(&config));
    match perform(&console, &config, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => console.fatal(&why),
    }
}

fn perform(console: &Console, config: &Config, options: &Options) -> Result<(), Fatal> {
    let queue = queue_directory(config)?;
    if !privilege::is_root() && !owns(&queue) {
        return Err(Fatal::new("use of this command is reserved for the superuser"));
    }
    if options.actions.is_empty() {
        return Ok(());
    }
    let mut orders = options.orders(console, &mut std::io::stdin().lock())?;
    if !options.wanted.is_empty() {
        let mut ids = HashSet::new();
        let now = Timestamp::now();
        listing::each(&queue, |message| {
            if options.wanted.matches(&message, now) {
                ids.insert(message.id);
            }
        })?;
        orders.only(&ids);
    }
    let mut store = work::Store::open(&queue, config)?;
    work::perform(console, &mut store, &orders)
}

/// An instance of one's own, run without root.
fn owns(queue: &Path) -> bool {
    std::fs::metadata(queue).is_ok_and(|m| m.uid() == privilege::effective_uid())
}
