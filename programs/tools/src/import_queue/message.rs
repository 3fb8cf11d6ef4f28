//! One queue file becomes one message of the spool.
//!
//! The message is written on hold and gets the state of its recipients. Its file is moved away, under a hidden name; then the message is
//! released, and the file gets its name. Whatever is broken off before the move is done again, whatever is broken off after it is
//! finished by the next run: a message that was released, and may be delivered by now, is never made again, and the state of its
//! recipients never overwritten.

use super::files::{Files, keep, put};
use super::notes;
use super::records::{self, Parsed, QueueFile};
use crate::say::Say;
use anyhow::{Context, Result, bail};
use base_calls::{Change, Envelope, QueueId, Timestamp};
use base_spool::{FileSpool, Spool, SpoolError, Summary};
use base_tables::block_on;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The attribute that says which file a message was.
const ORIGIN: &str = "imported";

/// What all files of a queue share.
pub(super) struct Import<'a> {
    pub(super) say: &'a Say,
    pub(super) spool: &'a FileSpool,
    /// Messages of earlier runs.
    pub(super) here: &'a HashMap<String, Summary>,
    pub(super) notes: &'a AllNotes,
    /// Where files of this queue go.
    pub(super) kept: &'a Path,
    pub(super) queue: &'a str,
}

/// What Postfix knows about recipients.
pub(super) struct AllNotes {
    defer: notes::Folder,
    bounce: notes::Folder,
    trace: notes::Folder,
}

impl AllNotes {
    /// Those of a queue directory.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let folder = |name: &str| notes::Folder::open(&root.join(name));
        Ok(Self { defer: folder("defer")?, bounce: folder("bounce")?, trace: folder("trace")? })
    }

    /// What is known of the recipients of a message.
    fn states(&self, name: &str, parsed: &Parsed) -> Result<Vec<Change>> {
        let (waiting, failed, told) =
            (self.defer.about(name)?, self.bounce.about(name)?, self.trace.about(name)?);
        let state = |(i, entry): (u32, &records::Entry)| {
            let why = |notes: &notes::Notes| notes.get(&entry.offset).cloned().map(Box::new);
            if !entry.done {
                return why(&waiting).map(|why| Change::Deferred(i, why));
            }
            let failed = why(&failed).map(|why| Change::Failed(i, why));
            let told = || why(&told).map(|why| Change::Delivered(i, why));
            Some(failed.or_else(told).unwrap_or(Change::Done(i)))
        };
        Ok((0u32..).zip(&parsed.entries).filter_map(state).collect())
    }
}

/// Opens a queue file without following links. None: it was never finished, Postfix would remove it.
pub(super) fn open(path: &Path) -> Result<Option<File>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    Ok(Some(file).filter(|_| meta.is_file() && meta.nlink() == 1 && meta.mode() & 0o100 != 0))
}

/// Messages of earlier runs, by what they were.
pub(super) fn known(spool: &FileSpool) -> HashMap<String, Summary> {
    let mut found = HashMap::new();
    let mut from = Some(0);
    while let Some(slot) = from {
        let page = spool.list(slot, 1024);
        from = page.last().and_then(|s| s.id.slot.checked_add(1));
        for summary in page {
            let Ok((message, _)) = block_on(spool.load(summary.id)) else { continue };
            if let Some(was) = message.envelope.attribute(ORIGIN) {
                found.insert(was.to_owned(), summary);
            }
        }
    }
    found
}

/// How a file is known again, whatever its path.
fn origin(name: &str, parsed: &Parsed) -> String {
    format!("{name} {}", parsed.envelope.arrival.0)
}

impl Import<'_> {
    /// Imports a file, if it is one. Whether it went well; if not, it was said why.
    pub(super) fn told(&self, path: Result<PathBuf>) -> bool {
        let shown = path.as_ref().map(|p| format!("{}: ", p.display())).unwrap_or_default();
        let done = path.and_then(|path| self.file(&path));
        if let Err(e) = &done {
            self.say.warning(&format!("import-queue: {shown}{e:#}"));
        }
        done.is_ok()
    }

    fn file(&self, path: &Path) -> Result<()> {
        let name = path.file_name().and_then(|n| n.to_str()).context("its name makes no sense")?;
        let Some(file) = open(path)? else { bail!("incomplete") };
        let due = file.metadata()?.modified().map_or(Timestamp::default(), Timestamp::from);
        let mut file = QueueFile::new(file);
        let mut parsed = Parsed::default();
        file.envelope(&mut parsed)?;
        let id = match self.here.get(&origin(name, &parsed)) {
            // It went its way long ago.
            Some(message) if !message.held => return keep(path, self.kept, name).map(drop),
            Some(message) => {
                let Ok(()) = file.content(|_| Ok::<_, Infallible>(()))?;
                file.rest(&mut parsed)?;
                message.id
            }
            None => self.message(name, file, &mut parsed)?,
        };
        let mut changes = self.notes.states(name, &parsed)?;
        if self.queue == "deferred" {
            changes.push(Change::RetryAt(due));
        }
        if !parsed.warns {
            changes.push(Change::DelayWarned);
        }
        block_on(self.spool.change(id, changes, true))?;
        if self.queue == "hold" {
            keep(path, self.kept, name)?;
        } else {
            self.release(id, &keep(path, self.kept, &format!(".{name}"))?)?;
        }
        let sender = &parsed.envelope.sender;
        self.say.log(&format!("{id}: imported from {}/{name}, from=<{sender}>", self.queue));
        Ok(())
    }

    /// Writes the message, on hold.
    fn message(&self, name: &str, mut file: QueueFile<File>, parsed: &mut Parsed) -> Result<QueueId> {
        let mut draft = self.spool.draft(name.len() > 11)?;
        let written: Result<(), SpoolError> = file.content(|piece| draft.write(piece))?;
        written?;
        file.rest(parsed)?;
        let recipients = parsed.entries.iter().map(|e| e.recipient.clone()).collect();
        let mut envelope = Envelope { recipients, ..parsed.envelope.clone() };
        envelope.attributes.push((ORIGIN.to_owned(), origin(name, parsed)));
        Ok(block_on(self.spool.commit(draft, envelope, true))?.id)
    }

    /// Lets the message of a file that was moved away go its way.
    fn release(&self, id: QueueId, hidden: &Path) -> Result<()> {
        block_on(self.spool.change(id, vec![Change::Held(false)], true))?;
        self.reveal(hidden)
    }

    fn reveal(&self, hidden: &Path) -> Result<()> {
        let name = hidden.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix('.'));
        put(hidden, self.kept, name.context("its name makes no sense")?).map(drop)
    }

    /// Finishes what an earlier run began and did not finish. The number of files that this did not go well with.
    pub(super) fn finish(&self) -> Result<u64> {
        let mut left = 0;
        for path in Files::new(self.kept)? {
            let path = path?;
            if path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."))
                && let Err(e) = self.finish_one(&path)
            {
                self.say.warning(&format!("import-queue: {}: {e:#}", path.display()));
                left += 1;
            }
        }
        Ok(left)
    }

    fn finish_one(&self, hidden: &Path) -> Result<()> {
        let name = hidden.file_name().and_then(|n| n.to_str()).context("its name makes no sense")?;
        // `.NAME`, or `.NAME.1` beside an older one.
        let name = name.trim_start_matches('.').split('.').next().unwrap_or_default();
        let mut parsed = Parsed::default();
        QueueFile::new(File::open(hidden)?).envelope(&mut parsed)?;
        match self.here.get(&origin(name, &parsed)) {
            Some(message) if message.held => self.release(message.id, hidden),
            _ => self.reveal(hidden),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::tests::file;
    use super::*;
    use base_calls::{Progress, RecipientState};
    use base_spool::Options;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    struct Queue {
        dir: tempfile::TempDir,
        spool: FileSpool,
        say: Say,
    }

    impl Queue {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            for folder in ["deferred", "bounce", "trace", "kept", "spool"] {
                fs::create_dir(dir.path().join(folder)).expect("made");
            }
            let spool = FileSpool::open(&dir.path().join("spool"), Options::default()).expect("a spool");
            Self { dir, spool, say: Say::under("postfix", "import-queue", None) }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        /// A message to three, of whom two are done.
        fn put(&self, name: &str) {
            let records = [
                ('T', "1795328264 754690"),
                ('S', "bob@x"),
                ('D', "a@x"),
                ('D', "b@x"),
                ('R', "c@x"),
                ('M', ""),
                ('N', "To: a"),
                ('X', ""),
                ('E', ""),
            ];
            fs::write(self.path(name), file(&records)).expect("written");
            fs::set_permissions(self.path(name), Permissions::from_mode(0o700)).expect("set");
        }

        fn import(&self) -> (u64, Vec<bool>) {
            let (here, notes) = (known(&self.spool), AllNotes::open(self.dir.path()).expect("notes"));
            let kept = self.path("kept");
            let (say, spool, queue) = (&self.say, &self.spool, "deferred");
            let import = Import { say, spool, here: &here, notes: &notes, kept: &kept, queue };
            let left = import.finish().expect("a run");
            (left, Files::new(&self.path("deferred")).expect("open").map(|path| import.told(path)).collect())
        }

        fn change(&self, changes: Vec<Change>) {
            block_on(self.spool.change(self.only().0, changes, true)).expect("changed");
        }

        fn only(&self) -> (QueueId, Progress) {
            let [summary] = self.spool.list(0, 9)[..] else { panic!("not one message") };
            (summary.id, block_on(self.spool.load(summary.id)).expect("read").1)
        }
    }

    #[test]
    fn nothing_is_made_twice_or_overwritten() {
        let q = Queue::new();
        q.put("deferred/A1");
        assert_eq!(q.import(), (0, vec![true]));
        let (_, first) = q.only();
        assert!(!first.held && first.delay_warned && first.retry_at != Timestamp::default());
        assert!(q.path("kept/A1").exists() && !q.path("deferred/A1").exists());
        // Delivered in part; and the file is back, as after a loss of power.
        q.change(vec![Change::Done(2)]);
        fs::rename(q.path("kept/A1"), q.path("deferred/A1")).expect("moved");
        assert_eq!(q.import(), (0, vec![true]));
        assert_eq!(q.only().1.recipients, [RecipientState::Done, RecipientState::Done, RecipientState::Done]);
        // Broken off before it was written whole: done again.
        q.change(vec![Change::Held(true), Change::Requeued]);
        fs::rename(q.path("kept/A1"), q.path("deferred/A1")).expect("moved");
        assert_eq!(q.import(), (0, vec![true]));
        assert_eq!(q.only().1.held, first.held);
        // Broken off before the release, and after it.
        for held in [true, false] {
            q.change(vec![Change::Held(held)]);
            fs::rename(q.path("kept/A1"), q.path("kept/.A1")).expect("moved");
            assert_eq!(q.import(), (0, vec![]));
            assert!(!q.only().1.held && q.path("kept/A1").exists());
        }
        // Delivered, removed, and another message of Postfix under the name.
        fs::rename(q.path("kept/A1"), q.path("kept/.A1")).expect("moved");
        block_on(q.spool.remove(q.only().0)).expect("removed");
        q.put("deferred/A1");
        assert_eq!(q.import(), (0, vec![true]));
        assert!(q.path("kept/A1").exists() && q.path("kept/A1.1").exists());
    }

    #[test]
    fn notices_that_are_due_stay_due() {
        let q = Queue::new();
        q.put("deferred/A1");
        let at = fs::read(q.path("deferred/A1"))
            .expect("read")
            .windows(3)
            .position(|w| w == b"D\x03a")
            .expect("there");
        let note =
            |at: usize, action: &str| format!("status=2.0.0\naction={action}\noffset={at}\nreason=why\n\n");
        fs::write(q.path("bounce/A1"), note(at, "failed")).expect("written");
        fs::write(q.path("trace/A1"), note(at, "relayed") + &note(at + 5, "relayed")).expect("written");
        // Notes that cannot be read: the message waits where it is.
        let notes = AllNotes::open(q.dir.path()).expect("notes");
        fs::rename(q.path("bounce/A1"), q.path("A1")).expect("moved");
        let kept = q.path("kept");
        let (say, spool, queue) = (&q.say, &q.spool, "deferred");
        let here = HashMap::new();
        let import = Import { say, spool, here: &here, notes: &notes, kept: &kept, queue };
        assert!(!import.told(Ok(q.path("deferred/A1"))) && q.path("deferred/A1").exists() && q.only().1.held);
        fs::rename(q.path("A1"), q.path("bounce/A1")).expect("moved");
        assert_eq!(q.import(), (0, vec![true]));
        let [RecipientState::Failed(_), RecipientState::Delivered(why), RecipientState::Pending] =
            &q.only().1.recipients[..]
        else {
            panic!("{:?}", q.only())
        };
        assert_eq!(why.action.as_deref(), Some("relayed"));
    }
}
