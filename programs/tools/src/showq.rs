//! showq(8) without a server: reads the queue directly and writes the listing that postqueue(1) prints.
//!
//! postqueue runs it for the super-user when the server is down; other tools call [`each`]. Changes nothing.

use crate::{getopt, tools::Tool};
use base_calls::QueueName;
use base_calls::listing::ListedMessage;
use base_conf::Config;
use base_spool::{FileSpool, Spool, Summary};
use std::io::{self, BufWriter, Write};
use std::{ffi::OsString, path::Path, process::ExitCode};

/// The record.
pub const TOOL: Tool =
    Tool { name: "showq", run, about: "list the queue of a stopped server, for postqueue" };

fn run(args: &[OsString]) -> ExitCode {
    match getopt::parse("c:v", args).and_then(|parsed| {
        let dir = parsed.value('c').map_or(Path::new("/etc/postfix"), Path::new);
        let cfg = Config::load(dir).map_err(|e| e.to_string())?;
        let queue = cfg.str("queue_directory").map_err(|e| e.to_string())?;
        let queue = Path::new(&queue);
        let mut out = BufWriter::new(io::stdout().lock());
        let mut frame = Vec::new();
        each(queue, |message| {
            frame.clear();
            message.put(&mut frame);
            out.write_all(&frame)
        })?;
        frame.clear();
        ListedMessage::put_end(&mut frame);
        out.write_all(&frame).and_then(|()| out.flush()).map_err(|e| e.to_string())
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("showq: fatal: {text}");
            ExitCode::FAILURE
        }
    }
}

/// A queue that was never made is empty.
fn open(dir: &Path) -> Result<Option<FileSpool>, String> {
    match dir.try_exists() {
        Ok(false) => Ok(None),
        _ => FileSpool::open_read_only(dir).map(Some).map_err(|e| format!("{}: {e}", dir.display())),
    }
}

/// Calls `visit` for every message of a queue that nobody serves.
pub fn each(
    queue_directory: &Path,
    mut visit: impl FnMut(ListedMessage) -> io::Result<()>,
) -> Result<(), String> {
    let spool = open(&base_spool::directory(queue_directory))?;
    let mut show = |message| visit(message).map_err(|e| e.to_string());
    base_spool::list_maildrop(queue_directory).try_for_each(&mut show)?;
    let Some(spool) = spool else { return Ok(()) };
    for queue in [QueueName::Incoming, QueueName::Deferred, QueueName::Hold] {
        let mut from = Some(0);
        while let Some(slot) = from {
            let page = spool.list(slot, 1024);
            from = page.last().and_then(|s| s.id.slot.checked_add(1));
            for summary in page.iter().filter(|s| queue_of(s) == queue) {
                let Ok((message, progress)) = base_tables::block_on(spool.load(summary.id)) else { continue };
                show(ListedMessage::new(queue, summary.id, &message.envelope, &progress))?;
            }
        }
    }
    Ok(())
}

fn queue_of(s: &Summary) -> QueueName {
    match () {
        () if s.held => QueueName::Hold,
        () if s.retry_at == base_calls::Timestamp::default() => QueueName::Incoming,
        () => QueueName::Deferred,
    }
}
