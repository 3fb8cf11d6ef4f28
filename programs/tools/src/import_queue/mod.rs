//! `postfix import-queue [-n] [DIRECTORY]`: takes over the queue of a stopped Postfix, an extension.
//!
//! DIRECTORY is its queue_directory; our own by default, which it may well be. Everything in incoming, active, deferred, hold and
//! maildrop that is complete becomes a message of ours with a new queue id: sender, recipients that are not done, arrival time,
//! content, attributes, the reasons of deferrals, notices that were still to be sent, hold, the time of the next attempt.
//! A file stays where it is until its message is on disk; then it is moved to the folder `imported` of that directory. What was
//! broken off can be repeated: a message that is already here is not taken twice. Files that cannot be read are left, with a
//! warning, and the exit status is 1. Neither Postfix nor we can be started meanwhile, nor can a second run.

mod files;
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
use files::{Files, folder};
use message::{AllNotes, Import};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where files go that were taken over.
const IMPORTED: &str = "imported";
/// The queues, but maildrop.
const QUEUES: [&str; 4] = ["incoming", "active", "deferred", "hold"];
/// Messages that are written at the same time: they share a sync.
const AT_ONCE: usize = 32;

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
    let is_dry = parsed.has('n');
    let _alone = alone(&from, &own, is_dry)?;
    if is_dry {
        return dry_run(&from);
    }
    let (kept, dir) = (from.join(IMPORTED), base_spool::directory(&own));
    let _only_run = folders(config, &own, &kept)?;
    let drops = maildrop::convert(say, &from, &own, &kept)?;
    become_owner(config).map_err(|e| anyhow!("{e}"))?;
    let spool = FileSpool::open(&dir, Options::default()).with_context(|| dir.display().to_string())?;
    let (here, notes) = (message::known(&spool), AllNotes::open(&from)?);
    let (done, left) = (AtomicU64::new(drops.done), AtomicU64::new(drops.left));
    for queue in QUEUES {
        let kept = kept.join(queue);
        let import = Import { say, spool: &spool, here: &here, notes: &notes, kept: &kept, queue };
        left.fetch_add(import.finish()?, Relaxed);
        let files = Mutex::new(Files::new(&from.join(queue))?);
        std::thread::scope(|threads| {
            for _ in 0..AT_ONCE {
                threads.spawn(|| {
                    while let Some(path) = files.lock().ok().and_then(|mut files| files.next()) {
                        let count = if import.told(path) { &done } else { &left };
                        count.fetch_add(1, Relaxed);
                    }
                });
            }
        });
    }
    spool.close();
    let (done, left) = (done.into_inner(), left.into_inner());
    say.info(&format!("import-queue: imported: {done}, left: {left}; the files are in {}", kept.display()));
    Ok(left)
}

/// Says what is there.
fn dry_run(from: &Path) -> Result<u64> {
    for queue in ["maildrop"].iter().chain(&QUEUES) {
        let files: Vec<PathBuf> = Files::new(&from.join(queue))?.collect::<Result<_>>()?;
        println!("{queue}: {}", files.len());
    }
    Ok(0)
}

/// Locks that keep Postfix and us from serving these queues. `is_dry`: nothing may be made.
fn alone(from: &Path, own: &Path, is_dry: bool) -> Result<Vec<File>> {
    let queues: &[&Path] = if is_same(from, own) { &[own] } else { &[from, own] };
    queues.iter().filter_map(|queue| lock(queue, is_dry).transpose()).collect()
}

/// The lock of a master. None: there is not even a folder for it.
fn lock(queue: &Path, is_dry: bool) -> Result<Option<File>> {
    let path = queue.join("pid/master.pid");
    let mut options = OpenOptions::new();
    options.read(true).write(!is_dry).create(!is_dry).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = match options.open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| path.display().to_string()),
    };
    if !flock(&file, &Patience::ONCE).with_context(|| path.display().to_string())? {
        bail!("the mail system that uses {} is running", queue.display());
    }
    Ok(Some(file))
}

fn is_same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    real(a) == real(b)
}

/// Makes the folders that are needed. `imported` and its maildrop stay root's: root moves files there. The lock that keeps a second
/// run away.
fn folders(config: &Config, own: &Path, kept: &Path) -> Result<File> {
    let owner = owner(config)?;
    fs::create_dir_all(own).with_context(|| own.display().to_string())?;
    for path in [own.join("maildrop"), base_spool::directory(own)] {
        // Those that are there may be links, and have the right owners.
        if !path.is_dir() {
            folder(&path, owner, 0o700)?;
        }
    }
    let dir = folder(kept, owner.map(|(_, gid)| (0, gid)), 0o710)?;
    folder(&kept.join("maildrop"), owner.map(|_| (0, 0)), 0o700)?;
    for queue in QUEUES {
        folder(&kept.join(queue), owner, 0o700)?;
    }
    if !flock(&dir, &Patience::ONCE)? {
        bail!("another import-queue uses {}", kept.display());
    }
    Ok(dir)
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
