//! Dropping into a Maildir, as the user it belongs to: `tmp` written and synced, then named in `new`, then the folder
//! synced. Names are Postfix's: `tmp/SECONDS.Ppid.host`, `new/SECONDS.VdeviceIinodeMmicroseconds.host`.
//!
//! Missing folders are made (0700), the way up to the Maildir too (virtual(8)). On failure nothing is left in `tmp`.

use crate::{
    copy::copy,
    job::{Copying, JobReport, MaildirJob},
    status::{mailbox_error, with_reason},
};
use base_calls::{Content, Timestamp, courier::Verdict};
use base_sys::privilege::Identity;
use proto_dsn::Status;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Where it went wrong, for the text of the report.
struct Trouble {
    what: String,
    error: io::Error,
}

/// Delivers.
pub fn deliver(job: &MaildirJob, how: &Copying, content: &Content) -> JobReport {
    match try_deliver(job, how, content, Timestamp::now()) {
        Ok(()) => JobReport::of(Verdict::Sent(Status::new(2, 0, 0), "delivered to maildir".into())),
        Err(t) => report(&t),
    }
}

fn report(t: &Trouble) -> JobReport {
    let text = with_reason(&t.what, &t.error);
    let mut warnings = Vec::new();
    if t.error.kind() == io::ErrorKind::PermissionDenied {
        let who = Identity::current();
        warnings.push(format!("maildir access problem for UID/GID={}/{}: {text}", who.uid, who.gid));
        warnings.push("perhaps you need to create the maildirs in advance".into());
    }
    JobReport {
        verdict: mailbox_error(&t.error, format!("maildir delivery failed: {text}")),
        warnings,
        last_words: None,
    }
}

fn try_deliver(job: &MaildirJob, how: &Copying, content: &Content, now: Timestamp) -> Result<(), Trouble> {
    let tmp = tmp_name(job, now);
    let doing = |what: &str, path: &Path| {
        let what = format!("{what} {}", path.display());
        move |error: io::Error| Trouble { what, error }
    };
    let (file, made) = create(job, &tmp).map_err(doing("create maildir file", &tmp))?;
    let new = write(job, how, content, &file)
        .and_then(|()| new_name(job, &file, now))
        .map_err(|e| discard(&tmp, doing("write maildir file", &tmp)(e)))?;
    fs::rename(&tmp, &new).map_err(|e| discard(&tmp, doing("create maildir file", &new)(e)))?;
    sync(job, made).map_err(doing("sync maildir folder", &job.path))
}

fn discard(tmp: &Path, trouble: Trouble) -> Trouble {
    let _ = fs::remove_file(tmp);
    trouble
}

/// Unique among the processes of a second: a process names one file at a time, and the count tells its files apart.
fn tmp_name(job: &MaildirJob, now: Timestamp) -> PathBuf {
    let name = format!("{}.P{}.{}", now.secs(), std::process::id(), job.hostname);
    job.path.join("tmp").join(name)
}

fn new_name(job: &MaildirJob, file: &File, now: Timestamp) -> io::Result<PathBuf> {
    let meta = file.metadata()?;
    let name = format!("{}.V{:x}I{:x}M{}.{}", now.secs(), meta.dev(), meta.ino(), now.micros(), job.hostname);
    Ok(job.path.join("new").join(name))
}

/// The file in `tmp`; whether the folders had to be made.
fn create(job: &MaildirJob, tmp: &Path) -> io::Result<(File, bool)> {
    let exclusive = || {
        OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(tmp)
    };
    match exclusive() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make_folders(job)?;
            exclusive().map(|f| (f, true))
        }
        // Left over by a process of our number that died in this second.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(tmp)?;
            exclusive().map(|f| (f, false))
        }
        other => other.map(|f| (f, false)),
    }
}

fn make_folders(job: &MaildirJob) -> io::Result<()> {
    for name in ["tmp", "new", "cur"] {
        DirBuilder::new().recursive(true).mode(0o700).create(job.path.join(name))?;
    }
    Ok(())
}

fn write(job: &MaildirJob, how: &Copying, content: &Content, file: &File) -> io::Result<()> {
    if job.limit > 0 && content.len().saturating_add(how.prefix.len() as u64) > job.limit {
        // EFBIG
        return Err(io::Error::from_raw_os_error(27));
    }
    let mut out = BufWriter::with_capacity(64 * 1024, file);
    copy(content, how, &mut out)?;
    out.flush()?;
    drop(out);
    file.sync_all()
}

fn sync(job: &MaildirJob, made: bool) -> io::Result<()> {
    File::open(job.path.join("new"))?.sync_all()?;
    if made {
        for path in [Some(job.path.as_path()), job.path.parent()].into_iter().flatten() {
            File::open(path).and_then(|f| f.sync_all()).or_else(allow_unreadable)?;
        }
    }
    Ok(())
}

fn allow_unreadable(e: io::Error) -> io::Result<()> {
    if e.kind() == io::ErrorKind::PermissionDenied { Ok(()) } else { Err(e) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn job(path: PathBuf) -> MaildirJob {
        MaildirJob { path, hostname: "mail.example.com".into(), limit: 0 }
    }

    fn how() -> Copying {
        Copying { prefix: b"Return-Path: <>\n".to_vec(), eol: b"\n".to_vec(), ..Copying::default() }
    }

    fn deliver_text(job: &MaildirJob) -> String {
        match deliver(job, &how(), &Content::Memory(Bytes::from_static(b"A: b\r\n\r\nFrom x\r\n"))).verdict {
            Verdict::Sent(_, t) => t,
            Verdict::Deferred(d) | Verdict::Failed(d) => format!("{} {}", d.status, d.reason),
            Verdict::HandOver(t) => t,
        }
    }

    fn names(path: &Path) -> Vec<String> {
        let mut v: Vec<_> =
            fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        v.sort();
        v
    }

    #[test]
    fn each_delivery_is_a_file_in_new() {
        let dir = tempfile::tempdir().unwrap();
        let job = job(dir.path().join("deep/er/Maildir"));
        for n in 1..=3 {
            assert_eq!(deliver_text(&job), "delivered to maildir");
            assert_eq!(names(&job.path.join("new")).len(), n);
        }
        assert_eq!(names(&job.path), ["cur", "new", "tmp"]);
        assert!(names(&job.path.join("tmp")).is_empty());
        let name = &names(&job.path.join("new"))[0];
        let parts: Vec<&str> = name.splitn(3, '.').collect();
        assert!(parts[1].starts_with('V') && parts[1].contains('I') && parts[1].contains('M'), "{name}");
        assert_eq!(parts[2], "mail.example.com");
        let file = job.path.join("new").join(name);
        assert_eq!(fs::read_to_string(&file).unwrap(), "Return-Path: <>\nA: b\n\nFrom x\n");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(dir.path().join("deep")).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn failures_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("file");
        fs::write(&blocked, "").unwrap();
        let text = deliver_text(&job(blocked.clone()));
        assert!(text.starts_with("5.2.0 maildir delivery failed: create maildir file "), "{text}");
        assert!(text.ends_with("Not a directory"), "{text}");
        let small = MaildirJob { limit: 10, ..job(dir.path().join("small")) };
        assert!(deliver_text(&small).starts_with("5.2.2 maildir delivery failed: "));
        assert!(names(&small.path.join("tmp")).is_empty() && names(&small.path.join("new")).is_empty());
    }
}
