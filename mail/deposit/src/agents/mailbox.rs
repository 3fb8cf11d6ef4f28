//! What local(8) and virtual(8) have in common: locking parameters, and the job for a path that is an mbox file or, with
//! a slash at the end, a Maildir.

use crate::{
    job::{Action, Copying, Job, Locks, MaildirJob, MboxJob},
    prefix::Prefix,
};
use base_calls::Timestamp;
use base_conf::{Config, Error};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Parameters of mailboxes.
#[derive(Debug, Clone)]
pub struct MailboxConfig {
    locks: Locks,
    attempts: u32,
    delay: Duration,
    stale: Duration,
    /// Size limit of a mailbox file, or of a message in a Maildir; 0 for none.
    pub limit: u64,
    strict_owner: bool,
    hostname: String,
}

impl MailboxConfig {
    /// `lock` and `limit` name the agent's parameters.
    pub fn from_config(config: &Config, lock: &str, limit: &str) -> Result<Self, Error> {
        let words = config.list(lock)?;
        let on = |name: &str| words.iter().any(|w| w == name);
        if let Some(bad) = words.iter().find(|w| !matches!(w.as_str(), "fcntl" | "flock" | "dotlock")) {
            return Err(Error::new(format!("bad lock method in {lock}: \"{bad}\"")));
        }
        Ok(Self {
            locks: Locks { fcntl: on("fcntl"), flock: on("flock"), dot: on("dotlock") },
            attempts: u32::try_from(config.int("deliver_lock_attempts")?).unwrap_or(1),
            delay: config.time("deliver_lock_delay")?,
            stale: config.time("stale_lock_time")?,
            limit: u64::try_from(config.int(limit)?).unwrap_or(0),
            strict_owner: config.bool("strict_mailbox_ownership")?,
            hostname: config.str("myhostname")?,
        })
    }

    /// The job. `path` with a slash at the end is a Maildir. `complaint` stands before the reason of an mbox failure.
    pub fn job(&self, path: &str, prefix: &Prefix<'_>, complaint: &str, shared_folder: bool) -> Job {
        if path.ends_with('/') {
            return self.maildir(path, prefix);
        }
        let prefix = Prefix { from_line: Some(Timestamp::now()), ..prefix.clone() };
        let mbox = MboxJob {
            path: path.into(),
            locks: self.locks,
            attempts: self.attempts,
            delay: self.delay,
            stale: self.stale,
            limit: self.limit,
            strict_owner: self.strict_owner,
            shared_folder,
            complaint: complaint.to_owned(),
            success: "delivered to mailbox".to_owned(),
        };
        let copying = Copying {
            prefix: prefix.lines(b"\n"),
            eol: b"\n".to_vec(),
            quote_from: true,
            quote_dot: false,
            blank_end: true,
        };
        Job { copying, action: Action::Mbox(mbox) }
    }

    fn maildir(&self, path: &str, prefix: &Prefix<'_>) -> Job {
        let maildir = MaildirJob { path: path.into(), hostname: self.hostname.clone(), limit: self.limit };
        let copying = Copying { prefix: prefix.lines(b"\n"), eol: b"\n".to_vec(), ..Copying::default() };
        Job { copying, action: Action::Maildir(maildir) }
    }
}

/// What `sendmail -bv` says of a path.
pub fn preview(path: &str) -> String {
    format!("delivers to {}", if path.ends_with('/') { "maildir" } else { "mailbox" })
}

/// A folder of mailboxes that belongs to somebody else, as its owner set it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoolFolder {
    /// Everybody may make files there.
    Open,
    /// Members of this group may.
    Group(u32),
    /// Only its owner may: mailboxes are made by root.
    Closed,
}

impl SpoolFolder {
    /// Looks at the folder of `path`.
    pub fn of(path: &Path) -> Self {
        let folder: PathBuf = path.parent().unwrap_or(Path::new("/")).into();
        match std::fs::metadata(folder) {
            Ok(m) if m.mode() & 0o002 != 0 => Self::Open,
            Ok(m) if m.mode() & 0o020 != 0 && m.gid() != 0 => Self::Group(m.gid()),
            _ => Self::Closed,
        }
    }
}
