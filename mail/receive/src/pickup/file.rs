//! One file of the maildrop folder: opened with care, and made into a message.

use base_calls::maildrop::{Maildrop, MaildropError, MaildropReader};
use base_calls::{Envelope, Origin, Timestamp};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// A file that is ready, and who left it.
pub(super) struct Ready {
    /// Owner: the submitter.
    pub uid: u32,
    /// To tell it from another one of the same name.
    pub inode: u64,
    /// When it was completed; never in the future.
    pub arrival: Timestamp,
    file: BufReader<File>,
}

/// Mode bits that say: complete (read, write and execute for the owner).
const READY: u32 = 0o700;

/// Opens `path`; `None` when it is not complete yet, or not a thing that pickup takes.
pub(super) fn open(path: &Path, now: Timestamp) -> io::Result<Option<Ready>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        // A link, or removed meanwhile.
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) || e.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    let meta = file.metadata()?;
    if !meta.is_file() || meta.nlink() != 1 || meta.mode() & READY != READY {
        return Ok(None);
    }
    let modified = meta.modified().map_or(now, Timestamp::from);
    Ok(Some(Ready {
        uid: meta.uid(),
        inode: meta.ino(),
        arrival: modified.min(now),
        file: BufReader::with_capacity(64 * 1024, file),
    }))
}

impl Ready {
    /// It begins as Postfix's own maildrop files do: a record of type `T`, its length, the time in digits.
    pub fn is_of_postfix(&mut self) -> io::Result<bool> {
        Ok(matches!(self.file.fill_buf()?, [b'T', 1..=127, b'0'..=b'9', ..]))
    }

    /// Reads the envelope; the content follows from the reader.
    pub fn read(self) -> Result<(Maildrop, MaildropReader<BufReader<File>>), MaildropError> {
        MaildropReader::open(self.file)
    }
}

/// The envelope for cleanup.
pub(super) fn envelope(m: Maildrop, arrival: Timestamp) -> Envelope {
    let mut attributes = Vec::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            attributes.push((name.to_owned(), value));
        }
    };
    add("full_name", m.full_name);
    let yes = |on: bool| if on { "yes".to_owned() } else { String::new() };
    add("report_delivery", yes(m.report_delivery));
    add("verify_only", yes(m.verify_only));
    Envelope {
        arrival,
        sender: m.sender,
        envid: m.envid,
        ret: m.ret,
        body: m.body,
        smtputf8: m.smtputf8,
        origin: Origin::Pickup,
        recipients: m.recipients,
        rewrite_local: true,
        verp: m.verp,
        attributes,
        ..Envelope::default()
    }
}
