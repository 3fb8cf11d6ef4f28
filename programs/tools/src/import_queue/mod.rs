//! `postfix import-queue [-n] [DIRECTORY]`: takes over the queue of a stopped Postfix, an extension.
//!
//! DIRECTORY is its queue_directory; our own by default, which it may well be. Everything in incoming, active, deferred, hold and
//! maildrop that is complete becomes a message of ours with a new queue id: sender, recipients that are not done, arrival time,
//! content, attributes, the reasons of deferrals, notices that were still to be sent, hold, the time of the next attempt.
//! A file stays where it is until its message is on disk; then it is moved to the folder `imported` of that directory. What was
//! broken off can be repeated: a message that is already here is not taken twice. Files that cannot be read are left, with a
//! warning, and the exit status is 1.

mod maildrop;
mod message;
mod notes;
mod records;

use crate::{console::queue_directory, getopt, postsuper::become_owner, say::Say};
use anyhow::{Context, Result, anyhow, bail};
use base_conf::Config;
use base_spool::{FileSpool, Options, Spool};
use base_sys::locks::{Patience, flock};
use base_sys::{User, privilege};
use base_tables::block_on;
use message::Import;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where files go that were taken over.
const IMPORTED: &str = "imported";
/// The attribute that says which file a message was.
const ORIGIN: &str = "imported";
/// Messages that are written at the same time: they share a sync.
const AT_ONCE: usize = 32;
/// How deep hashed queue folders may nest.
const MAX_DEPTH: u32 = 17;

/// Runs the command with the arguments after its name.
pub fn run(dir: &Path, args: &[OsString]) -> ExitCode {
    let config = Config::load(dir).map_err(|e| anyhow!("{e}"));
    let say = Say::under("postfix", "import-queue", config.as_ref().ok());
    match config.and_then(|config| work(&say, &config, args)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(e) => say.fatal(1, &format!("import-queue: {e:#}")),
    }
}

/// The number of files that were left.
fn work(say: &Say, config: &Config, args: &[OsString]) -> Result<u64> {
    let parsed = getopt::parse("n", args).map_err(|e| anyhow!(e))?;
    let own = queue_directory(config).map_err(|e| anyhow!("{e}"))?;
    let from = match parsed.operands.as_slice() {
        [] => own.clone(),
        [dir] => PathBuf::from(dir),
        _ => bail!("usage: postfix import-queue [-n] [queue_directory]"),
    };
    nobody_runs(&from).and_then(|()| nobody_runs(&own))?;
    if parsed.has('n') {
        return dry_run(&from);
    }
    let owner = owner(config)?;
    let kept = from.join(IMPORTED);
    let dir = base_spool::directory(&own);
    let queues = ["maildrop", "incoming", "active", "deferred", "hold"].map(|queue| kept.join(queue));
    for folder in [&kept, &dir].into_iter().chain(&queues) {
        make_folder(folder, owner).with_context(|| folder.display().to_string())?;
    }
    let drops = maildrop::convert(say, &from, &own, &kept)?;
    become_owner(config).map_err(|e| anyhow!("{e}"))?;
    let spool = FileSpool::open(&dir, Options::default()).with_context(|| dir.display().to_string())?;
    let here = known(&spool);
    let (done, left) = (AtomicU64::new(0), AtomicU64::new(drops.left));
    for queue in ["incoming", "active", "deferred", "hold"] {
        let files = Mutex::new(Files::new(&from.join(queue))?);
        let import = Import { say, spool: &spool, here: &here, root: &from, queue };
        std::thread::scope(|threads| {
            for _ in 0..AT_ONCE {
                threads.spawn(|| {
                    while let Some(path) = files.lock().ok().and_then(|mut files| files.next()) {
                        match import.file(&path).and_then(|()| keep(&path, &kept, queue)) {
                            Ok(()) => done.fetch_add(1, Relaxed),
                            Err(e) => {
                                say.warning(&format!("import-queue: {}: {e:#}", path.display()));
                                left.fetch_add(1, Relaxed)
                            }
                        };
                    }
                });
            }
        });
    }
    spool.close();
    let (done, left) = (done.into_inner() + drops.done, left.into_inner());
    say.info(&format!("import-queue: imported: {done}, left: {left}; the files are in {}", kept.display()));
    Ok(left)
}

/// Says what is there.
fn dry_run(from: &Path) -> Result<u64> {
    for queue in ["maildrop", "incoming", "active", "deferred", "hold"] {
        println!("{queue}: {}", Files::new(&from.join(queue))?.count());
    }
    Ok(0)
}

/// Neither Postfix nor we serve this queue.
fn nobody_runs(queue: &Path) -> Result<()> {
    match File::open(queue.join("pid/master.pid")) {
        Ok(file) if !flock(&file, &Patience::ONCE).unwrap_or(false) => {
            bail!("the mail system that uses {} is running", queue.display())
        }
        _ => Ok(()),
    }
}

/// `mail_owner`, when there is a choice.
fn owner(config: &Config) -> Result<Option<(u32, u32)>> {
    if !privilege::is_root() {
        return Ok(None);
    }
    let name = config.str("mail_owner").map_err(|e| anyhow!("{e}"))?;
    let user = User::by_name(&name)?.with_context(|| format!("mail_owner: unknown user name: {name}"))?;
    Ok(Some((user.uid, user.gid)))
}

/// A folder of the mail owner's, unless it is there.
fn make_folder(folder: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(folder, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Messages of an earlier run, by what they were.
fn known(spool: &FileSpool) -> HashMap<String, base_calls::QueueId> {
    let mut found = HashMap::new();
    let mut from = Some(0);
    while let Some(slot) = from {
        let page = spool.list(slot, 1024);
        from = page.last().and_then(|s| s.id.slot.checked_add(1));
        for summary in page {
            let Ok((message, _)) = block_on(spool.load(summary.id)) else { continue };
            if let Some(was) = message.envelope.attribute(ORIGIN) {
                found.insert(was.to_owned(), summary.id);
            }
        }
    }
    found
}

/// The message is ours: its file goes aside.
fn keep(path: &Path, kept: &Path, queue: &str) -> Result<()> {
    let name = path.file_name().context("no name")?;
    fs::rename(path, kept.join(queue).join(name)).context("imported, but the file cannot be moved away")
}

/// The files below a queue folder, one folder in memory at a time.
struct Files {
    folders: Vec<(PathBuf, u32)>,
    open: Option<fs::ReadDir>,
    depth: u32,
}

impl Files {
    /// A folder that is not there has none.
    fn new(folder: &Path) -> Result<Self> {
        let open = match fs::read_dir(folder) {
            Ok(open) => Some(open),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(e).with_context(|| folder.display().to_string()),
        };
        Ok(Self { folders: Vec::new(), open, depth: 0 })
    }
}

impl Iterator for Files {
    type Item = PathBuf;

    fn next(&mut self) -> Option<PathBuf> {
        loop {
            while let Some(entry) = self.open.as_mut().and_then(Iterator::next) {
                let Ok(entry) = entry else { continue };
                match entry.file_type() {
                    Ok(kind) if kind.is_file() => return Some(entry.path()),
                    Ok(kind) if kind.is_dir() && self.depth < MAX_DEPTH => {
                        self.folders.push((entry.path(), self.depth + 1));
                    }
                    _ => {}
                }
            }
            let (folder, depth) = self.folders.pop()?;
            (self.open, self.depth) = (fs::read_dir(folder).ok(), depth);
        }
    }
}
