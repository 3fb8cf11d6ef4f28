//! Appending to an mbox file, as the user it belongs to (local(8), virtual(8), `mailbox_delivery_lock`).
//!
//! The file is opened without following links where others can write to its folder, must be a regular file with one
//! name, and is locked before its end is looked for. What was written is synced before success is reported; after a
//! failure the file has its old length. A file that was made is made durable in its folder too.

use crate::{
    copy::copy,
    job::{Copying, MboxJob},
    status::{deferred, mailbox_error, with_reason},
};
use base_calls::{Content, Diagnosis, courier::Verdict};
use base_sys::{
    locks::{DotLock, Patience, fcntl_lock, flock},
    privilege,
};
use proto_dsn::Status;
use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// Appends.
pub fn append(job: &MboxJob, how: &Copying, content: &Content) -> Verdict {
    match try_append(job, how, content) {
        Ok(()) => Verdict::Sent(Status::new(2, 0, 0), job.success.clone()),
        Err(v) => v,
    }
}

fn patience(job: &MboxJob) -> Patience {
    Patience { attempts: job.attempts, delay: job.delay, stale: job.stale }
}

fn try_append(job: &MboxJob, how: &Copying, content: &Content) -> Result<(), Verdict> {
    let complain = |what: &str, e: &io::Error| format!("{}{}", job.complaint, with_reason(what, e));
    let _dot = dot_lock(job)?;
    let opened = |(what, e): (&str, io::Error)| match e.raw_os_error() {
        Some(libc::ELOOP) => mailbox_error(&e, format!("{}file is a symbolic link", job.complaint)),
        _ => mailbox_error(&e, complain(what, &e)),
    };
    let (file, made) = open(job).map_err(opened)?;
    inspect(job, &file)?;
    lock(job, &file)?;
    let before = file.metadata().map_err(|e| mailbox_error(&e, complain("cannot open file", &e)))?.len();
    let written = write(job, how, content, &file, before);
    if let Err(e) = written {
        if file.set_len(before).is_ok() {
            let _ = file.sync_data();
        }
        return Err(mailbox_error(&e, complain("error writing message", &e)));
    }
    if made {
        sync_folder(&job.path).map_err(|e| mailbox_error(&e, complain("error writing message", &e)))?;
    }
    Ok(())
}

fn dot_lock(job: &MboxJob) -> Result<Option<DotLock>, Verdict> {
    if !job.locks.dot {
        return Ok(None);
    }
    let name = format!("unable to create lock file {}.lock", job.path.display());
    match DotLock::take(&job.path, &patience(job)) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(deferred(format!("{}{name}: File exists", job.complaint))),
        // A folder that is not there, or in which the user may not make files: the other lock has to do.
        Err(e)
            if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound)
                && job.locks.fcntl | job.locks.flock =>
        {
            Ok(None)
        }
        Err(e) => Err(deferred(format!("{}{}", job.complaint, with_reason(&name, &e)))),
    }
}

/// Opens it, or makes it; says whether it was made.
fn open(job: &MboxJob) -> Result<(File, bool), (&'static str, io::Error)> {
    let opening = |e| ("cannot open file", e);
    // A named pipe must not stop us.
    let flags = libc::O_NONBLOCK | if job.shared_folder { libc::O_NOFOLLOW } else { 0 };
    let mut options = OpenOptions::new();
    options.append(true).mode(0o600).custom_flags(flags);
    match options.open(&job.path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        other => return other.map(|f| (f, false)).map_err(opening),
    }
    match options.create_new(true).open(&job.path) {
        // Somebody else was faster, or it is a link to nowhere.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            options.create_new(false).open(&job.path).map(|f| (f, false)).map_err(opening)
        }
        other => other.map(|f| (f, true)).map_err(|e| ("cannot create file exclusively", e)),
    }
}

/// A regular file with one name, of the right owner. Devices (`/dev/null`) are allowed, as local(8) does.
fn inspect(job: &MboxJob, file: &File) -> Result<(), Verdict> {
    let complain = |what: &str| format!("{}{what}", job.complaint);
    let meta = file.metadata().map_err(|e| mailbox_error(&e, complain("cannot open file")))?;
    if meta.is_file() && meta.nlink() > 1 {
        let text = complain(&format!("cannot open file: file has {} hard links", meta.nlink()));
        return Err(Verdict::Failed(Diagnosis::new(Status::new(5, 2, 0), text)));
    }
    if job.strict_owner && meta.is_file() && meta.uid() != privilege::effective_uid() {
        let text = format!("destination {} is not owned by recipient", job.path.display());
        return Err(deferred(complain(&text)));
    }
    Ok(())
}

fn lock(job: &MboxJob, file: &File) -> Result<(), Verdict> {
    let busy = |e: Option<io::Error>| {
        let reason =
            e.as_ref().map_or_else(|| "Resource temporarily unavailable".into(), base_sys::system_text);
        deferred(format!("{}unable to lock for exclusive access: {reason}", job.complaint))
    };
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return Ok(());
    }
    if job.locks.fcntl && !fcntl_lock(file, &patience(job)).map_err(|e| busy(Some(e)))? {
        return Err(busy(None));
    }
    if job.locks.flock && !flock(file, &patience(job)).map_err(|e| busy(Some(e)))? {
        return Err(busy(None));
    }
    Ok(())
}

fn write(job: &MboxJob, how: &Copying, content: &Content, file: &File, before: u64) -> io::Result<()> {
    let room = if job.limit == 0 { u64::MAX } else { job.limit.saturating_sub(before) };
    let mut out = BufWriter::with_capacity(64 * 1024, Limited { file, room });
    copy(content, how, &mut out)?;
    out.flush()?;
    drop(out);
    match file.sync_data() {
        // A device, a pipe: there is nothing to sync.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

/// Writes no more than `room` bytes; then it fails as RLIMIT_FSIZE would.
struct Limited<'a> {
    file: &'a File,
    room: u64,
}

impl Write for Limited<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.len() as u64 > self.room {
            // EFBIG
            return Err(io::Error::from_raw_os_error(27));
        }
        let n = self.file.write(buf)?;
        self.room -= n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a new name in the folder of `path` durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match File::open(folder).and_then(|f| f.sync_all()) {
        // A folder that may be searched but not read, like a spool folder: its owner's journal has to do.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Locks;
    use bytes::Bytes;
    use std::{os::unix::fs::symlink, path::PathBuf, time::Duration};

    fn job(path: PathBuf) -> MboxJob {
        MboxJob {
            path,
            locks: Locks { fcntl: true, flock: false, dot: true },
            attempts: 1,
            delay: Duration::ZERO,
            stale: Duration::from_secs(500),
            limit: 0,
            strict_owner: true,
            shared_folder: true,
            complaint: "cannot update mailbox. ".into(),
            success: "delivered to mailbox".into(),
        }
    }

    fn how() -> Copying {
        Copying {
            prefix: b"From x\n".to_vec(),
            eol: b"\n".to_vec(),
            quote_from: true,
            quote_dot: false,
            blank_end: true,
        }
    }

    fn content(text: &'static str) -> Content {
        Content::Memory(Bytes::from_static(text.as_bytes()))
    }

    fn reason(v: Verdict) -> String {
        match v {
            Verdict::Sent(_, t) => t,
            Verdict::Deferred(d) | Verdict::Failed(d) => format!("{} {}", d.status, d.reason),
            Verdict::HandOver(t) => t,
        }
    }

    #[test]
    fn messages_follow_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let job = job(dir.path().join("box"));
        assert_eq!(reason(append(&job, &how(), &content("A: b\r\n\r\nFrom y\r\n"))), "delivered to mailbox");
        assert_eq!(reason(append(&job, &how(), &content("C: d\r\n\r\n"))), "delivered to mailbox");
        let text = std::fs::read_to_string(&job.path).unwrap();
        assert_eq!(text, "From x\nA: b\n\n>From y\n\nFrom x\nC: d\n\n\n");
        let meta = std::fs::metadata(&job.path).unwrap();
        assert_eq!(meta.mode() & 0o777, 0o600);
        assert!(!dir.path().join("box.lock").exists());
    }

    #[test]
    fn a_full_mailbox_keeps_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let job = MboxJob { limit: 40, ..job(dir.path().join("box")) };
        append(&job, &how(), &content("A: b\r\n\r\n"));
        let before = std::fs::read(&job.path).unwrap();
        let text = reason(append(&job, &how(), &content("A: 1234567890123456789012345\r\n\r\n")));
        assert_eq!(text, "5.2.2 cannot update mailbox. error writing message: File too large");
        assert_eq!(std::fs::read(&job.path).unwrap(), before);
    }

    #[test]
    fn links_folders_and_foreign_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::fs::write(&target, "precious").unwrap();
        let check = |path: PathBuf, expect: &str| {
            let text = reason(append(&job(path), &how(), &content("x\r\n")));
            assert!(text.contains(expect), "{text}");
        };
        symlink(&target, dir.path().join("link")).unwrap();
        check(dir.path().join("link"), "5.2.0 cannot update mailbox. file is a symbolic link");
        std::fs::hard_link(&target, dir.path().join("hard")).unwrap();
        check(
            dir.path().join("hard"),
            "5.2.0 cannot update mailbox. cannot open file: file has 2 hard links",
        );
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        check(dir.path().join("folder"), "5.2.0 cannot update mailbox. cannot open file: Is a directory");
        check(
            dir.path().join("no/box"),
            "5.2.0 cannot update mailbox. cannot create file exclusively: No such",
        );
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    }

    #[test]
    fn a_held_lock_defers() {
        let dir = tempfile::tempdir().unwrap();
        let job = job(dir.path().join("box"));
        std::fs::write(dir.path().join("box.lock"), "").unwrap();
        let text = reason(append(&job, &how(), &content("x\r\n")));
        assert!(text.starts_with("4.2.0 cannot update mailbox. unable to create lock file"), "{text}");
        assert!(text.ends_with("box.lock: File exists"), "{text}");
        assert!(!job.path.exists());
    }

    #[test]
    fn dev_null_is_a_mailbox() {
        let job = MboxJob { locks: Locks::default(), ..job("/dev/null".into()) };
        assert_eq!(reason(append(&job, &how(), &content("x\r\n"))), "delivered to mailbox");
    }
}
