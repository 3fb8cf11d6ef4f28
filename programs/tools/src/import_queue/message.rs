//! One queue file becomes one message of the spool.
//!
//! The message is written on hold, then gets the state of its recipients and is released: whatever is broken off is either not there
//! or waits on hold for the next run, and no recipient that was done is delivered to again.

use super::{ORIGIN, notes, records};
use crate::say::Say;
use anyhow::{Context, Result, bail};
use base_calls::{Change, Envelope, QueueId, Timestamp};
use base_spool::{FileSpool, Spool, SpoolError};
use base_tables::block_on;
use records::{Parsed, QueueFile};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Longest file of reasons that is read.
const MAX_NOTES: u64 = 64 << 20;

/// What all files of a queue share.
pub(super) struct Import<'a> {
    pub(super) say: &'a Say,
    pub(super) spool: &'a FileSpool,
    /// Messages of an earlier run.
    pub(super) here: &'a HashMap<String, QueueId>,
    pub(super) root: &'a Path,
    pub(super) queue: &'a str,
}

/// Opens a queue file without following links. None: it was never finished, Postfix would remove it.
pub(super) fn open(path: &Path) -> Result<Option<File>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    Ok(Some(file).filter(|_| meta.is_file() && meta.nlink() == 1 && meta.mode() & 0o100 != 0))
}

impl Import<'_> {
    /// Imports a file.
    pub(super) fn file(&self, path: &Path) -> Result<()> {
        let name = path.file_name().and_then(|n| n.to_str()).context("its name makes no sense")?;
        let Some(file) = open(path)? else { bail!("incomplete") };
        let due = file.metadata()?.modified().map_or(Timestamp::default(), Timestamp::from);
        let (id, parsed) = self.message(name, file)?;
        let mut changes = self.states(name, &parsed);
        if self.queue == "deferred" {
            changes.push(Change::RetryAt(due));
        }
        if self.queue != "hold" {
            changes.push(Change::Held(false));
        }
        block_on(self.spool.change(id, changes, true))?;
        let sender = &parsed.envelope.sender;
        self.say.log(&format!("{id}: imported from {}/{name}, from=<{sender}>", self.queue));
        Ok(())
    }

    /// The message on hold; one of an earlier run as it is.
    fn message(&self, name: &str, file: File) -> Result<(QueueId, Parsed)> {
        let mut file = QueueFile::new(file);
        let mut parsed = Parsed::default();
        file.envelope(&mut parsed)?;
        let origin = format!("{name} {}", parsed.envelope.arrival.0);
        if let Some(id) = self.here.get(&origin) {
            return Ok((*id, parsed));
        }
        let mut draft = self.spool.draft(name.len() > 11)?;
        let written: Result<(), SpoolError> = file.content(|piece| draft.write(piece))?;
        written?;
        file.rest(&mut parsed)?;
        let mut envelope: Envelope = std::mem::take(&mut parsed.envelope);
        envelope.recipients = parsed.entries.iter().map(|e| e.recipient.clone()).collect();
        envelope.attributes.push((ORIGIN.to_owned(), origin));
        parsed.envelope.sender = envelope.sender.clone();
        let queued = block_on(self.spool.commit(draft, envelope, true))?;
        Ok((queued.id, parsed))
    }

    /// What is known of the recipients.
    fn states(&self, name: &str, parsed: &Parsed) -> Vec<Change> {
        let (waiting, failed) = (self.notes("defer", name), self.notes("bounce", name));
        let state = |(i, entry): (u32, &records::Entry)| {
            let why =
                |notes: &HashMap<u64, base_calls::Diagnosis>| notes.get(&entry.offset).cloned().map(Box::new);
            match (entry.done, why(&failed), why(&waiting)) {
                (true, Some(why), _) => Some(Change::Failed(i, why)),
                (true, None, _) => Some(Change::Done(i)),
                (false, _, Some(why)) => Some(Change::Deferred(i, why)),
                (false, _, None) => None,
            }
        };
        (0u32..).zip(&parsed.entries).filter_map(state).collect()
    }

    /// The notes of a folder about a message, by the offset of the recipient.
    fn notes(&self, folder: &str, name: &str) -> HashMap<u64, base_calls::Diagnosis> {
        let folder = self.root.join(folder);
        let letters = |n: usize| name.chars().take(n).map(|c| c.to_string());
        let mut text = String::new();
        for depth in 0..=4 {
            let path = letters(depth).fold(folder.clone(), |path, letter| path.join(letter)).join(name);
            if let Ok(file) = fs::File::open(path)
                && file.take(MAX_NOTES).read_to_string(&mut text).is_ok()
            {
                break;
            }
        }
        notes::parse(&text).into_iter().map(|note| (note.offset, note.why)).collect()
    }
}
