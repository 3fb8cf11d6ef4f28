//! postcat(1): shows queued messages.
//!
//! With `-q` the message is taken from the running server, or from the queue itself when none runs. It is
//! printed as the records of Postfix's queue file format, since scripts read them ([`records`]). Without `-q` the operands
//! are files in that format; ours is another, so they are reported as not valid.

mod records;

use crate::{
    console::{Console, Fatal, is_queue_id, load_config, queue_directory},
    control::Control,
    getopt,
    tools::Tool,
};
use base_calls::{
    Envelope, Progress, QueueId, QueueName, Timestamp,
    control::{ControlReply, ControlRequest},
};
use base_conf::Config;
use base_spool::{FileSpool, Spool, SpoolError};
use records::{Show, View};
use std::{
    ffi::OsString,
    io::{self, BufWriter, Read, Write},
    process::ExitCode,
};

/// The record.
pub const TOOL: Tool = Tool { name: "postcat", run, about: "show queued messages" };

const USAGE: &str = "usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] \
    [-e (envelope records)] [-h (header text)] [-q (access queue)] [-v] [file(s)...]";

/// The most of a file that is looked at.
const LOOK: u64 = 64;

/// A message to be shown.
pub struct Message {
    /// Queue id as printed.
    pub id: String,
    /// The queue it is in.
    pub queue: QueueName,
    /// The folder of Postfix's queue that it would be in, as `deferred/3`.
    pub folder: String,
    /// Envelope.
    pub envelope: Envelope,
    /// What happened to it so far.
    pub progress: Progress,
    /// Content in wire form.
    pub content: Vec<u8>,
}

fn run(args: &[OsString]) -> ExitCode {
    let console = Console::unlogged("postcat");
    let parsed = match getopt::parse("bc:dehoqrs:v", args) {
        Ok(parsed) => parsed,
        Err(found) => return console.fatal(&Fatal::usage(found, USAGE)),
    };
    match load_config(parsed.value('c')).and_then(|config| perform(&console, &config, &parsed)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => console.fatal(&why),
    }
}

fn perform(console: &Console, config: &Config, parsed: &getopt::Parsed) -> Result<(), Fatal> {
    let view = view(parsed)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if !parsed.has('q') {
        return foreign(console, &parsed.operands);
    }
    for operand in &parsed.operands {
        let id = operand.to_string_lossy();
        if !is_queue_id(&id) {
            return Err(Fatal::new(format!("bad mail queue ID: {id}")));
        }
        let missing = || Fatal::new(format!("open queue file {id}: No such file or directory"));
        let mut message = find(config, &id)?.ok_or_else(missing)?;
        message.folder = folder(config, message.queue, &message.id);
        let written = records::show(&message, &view, &mut out).and_then(|()| out.flush());
        written.map_err(|e| Fatal::new(format!("write error: {}", base_sys::system_text(&e))))?;
    }
    Ok(())
}

/// `hash_queue_names`, `hash_queue_depth`: subfolders are named by the microseconds in the id.
fn folder(config: &Config, queue: QueueName, id: &str) -> String {
    let mut folder = queue.as_str().to_owned();
    let hashed = config.list("hash_queue_names").unwrap_or_default().iter().any(|n| n == queue.as_str());
    let depth = config.int("hash_queue_depth").ok().and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    if let Some(parsed) = QueueId::parse(id).filter(|_| hashed) {
        for digit in format!("{:05X}", parsed.micros).chars().take(depth) {
            folder.push('/');
            folder.push(digit);
        }
    }
    folder
}

fn view(parsed: &getopt::Parsed) -> Result<View, Fatal> {
    let all = !['b', 'e', 'h'].iter().any(|c| parsed.has(*c));
    let from = match parsed.value('s').map(|v| v.to_string_lossy()) {
        Some(text) => text.parse().map_err(|_| Fatal::new(format!("bad offset: {text}")))?,
        None => 0,
    };
    Ok(View {
        show: Show {
            envelope: all || parsed.has('e'),
            header: all || parsed.has('h'),
            body: all || parsed.has('b'),
        },
        types: parsed.has('d'),
        offsets: parsed.has('o'),
        from,
    })
}

/// Files in Postfix's own format, or anything else.
fn foreign(console: &Console, operands: &[OsString]) -> Result<(), Fatal> {
    for name in operands {
        let file = std::fs::File::open(name);
        let bytes = file.and_then(|f| {
            let mut bytes = Vec::new();
            f.take(LOOK).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        let failed = |e| Fatal::new(format!("open {}: {}", name.display(), base_sys::system_text(&e)));
        if !bytes.map_err(failed)?.is_empty() {
            console.warning(format!("{}: input is not a valid queue file", name.display()));
        }
    }
    if operands.is_empty() && io::stdin().lock().take(LOOK).read_to_end(&mut Vec::new()).is_ok_and(|n| n > 0)
    {
        console.warning("stdin: input is not a valid queue file");
    }
    Ok(())
}

/// The queued message with this id.
fn find(config: &Config, id: &str) -> Result<Option<Message>, Fatal> {
    let queue = queue_directory(config)?;
    match Control::connect(&queue) {
        Ok(Some(control)) => ask(control, id),
        Ok(None) => read(&base_spool::directory(&queue), id),
        // Perhaps the queue itself may be read.
        Err(why) => read(&base_spool::directory(&queue), id).map_err(|_| why),
    }
}

fn ask(mut control: Control, id: &str) -> Result<Option<Message>, Fatal> {
    let mut found: Option<Message> = None;
    control.ask(&ControlRequest::Cat(id.to_owned()), |reply| {
        match (reply, &mut found) {
            (ControlReply::Message(m), found) => {
                let mut progress = Progress::new(m.envelope.recipients.len());
                m.changes.iter().for_each(|c| progress.apply(c));
                let (id, queue, envelope) = (m.id, m.queue, m.envelope);
                *found = Some(Message {
                    id,
                    queue,
                    folder: String::new(),
                    envelope,
                    progress,
                    content: Vec::new(),
                });
            }
            (ControlReply::Content(bytes), Some(message)) => message.content.extend_from_slice(&bytes),
            _ => {}
        }
        Ok(())
    })?;
    Ok(found)
}

/// Reads the queue of a stopped server.
fn read(dir: &std::path::Path, id: &str) -> Result<Option<Message>, Fatal> {
    if !dir.try_exists().unwrap_or(true) {
        return Ok(None);
    }
    let failed = |e: &dyn std::fmt::Display| Fatal::new(format!("open queue file {id}: {e}"));
    let spool = FileSpool::open_read_only(dir).map_err(|e| failed(&e))?;
    let Some(found) = spool.find(id) else { return Ok(None) };
    let (message, progress) = match base_tables::block_on(spool.load(found)) {
        Ok(loaded) => loaded,
        Err(SpoolError::NotFound) => return Ok(None),
        Err(e) => return Err(failed(&e)),
    };
    let content = content(&message.content).map_err(|e| failed(&e))?;
    let queue = queue_of(&progress);
    let envelope = message.envelope.clone();
    Ok(Some(Message {
        id: QueueId::to_string(&found),
        queue,
        folder: String::new(),
        envelope,
        progress,
        content,
    }))
}

fn content(content: &base_calls::Content) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    while (out.len() as u64) < content.len() {
        let chunk = content.chunk(out.len() as u64, 64 << 10)?;
        if chunk.is_empty() {
            break;
        }
        out.extend_from_slice(&chunk);
    }
    Ok(out)
}

fn queue_of(p: &Progress) -> QueueName {
    match () {
        () if p.held => QueueName::Hold,
        () if p.retry_at == Timestamp::default() => QueueName::Incoming,
        () => QueueName::Deferred,
    }
}
