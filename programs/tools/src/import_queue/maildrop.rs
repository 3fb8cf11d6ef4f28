//! Files of Postfix's maildrop become files of ours, which pickup takes when the server starts.
//!
//! Done with the caller's rights, before they are given up: the new file belongs to the user who submitted the old one. It is written
//! under a hidden name, which pickup leaves alone; then the old file is kept, and the new one gets its name. What is broken off before
//! that is done again, what is broken off after it is finished by the next run.
//!
//! Users may write to the folder, and the mail owner may rename what is in it: nothing is opened through a link or changed by name.

use super::files::{Files, keep};
use super::message;
use super::records::{Parsed, QueueFile};
use crate::say::Say;
use anyhow::{Context, Result, bail};
use base_calls::Mode;
use base_calls::maildrop::{MAGIC, Maildrop, MaildropReader, MaildropWriter, READY_MODE};
use base_sys::privilege;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// How it went.
#[derive(Debug, Default)]
pub(super) struct Drops {
    pub(super) done: u64,
    pub(super) left: u64,
}

/// Where they come from, and where they go: maildrop folders, and the folder of those that were taken over.
struct Drop<'a> {
    from: &'a Path,
    folder: &'a Path,
    kept: &'a Path,
}

/// Converts all of them; `from` and `own` are queue directories.
pub(super) fn convert(say: &Say, from: &Path, own: &Path, kept: &Path) -> Result<Drops> {
    let (from, folder, kept) = (from.join("maildrop"), own.join("maildrop"), kept.join("maildrop"));
    let drop = Drop { from: &from, folder: &folder, kept: &kept };
    drop.finish()?;
    let mut drops = Drops::default();
    for path in Files::new(&from)? {
        let shown = path.as_ref().map(|p| format!("{}: ", p.display())).unwrap_or_default();
        match path.and_then(|path| drop.one(&path)) {
            Ok(true) => drops.done += 1,
            Ok(false) => {}
            Err(e) => {
                say.warning(&format!("import-queue: {shown}{e:#}"));
                drops.left += 1;
            }
        }
    }
    Ok(drops)
}

impl Drop<'_> {
    /// False: it is a file of ours, or one that is being made.
    fn one(&self, path: &Path) -> Result<bool> {
        let name = path.file_name().and_then(|n| n.to_str()).context("its name makes no sense")?;
        if name.starts_with('.') {
            return Ok(false);
        }
        let Some(mut file) = message::open(path)? else { bail!("incomplete") };
        let mut magic = [0; MAGIC.len()];
        if file.read(&mut magic)? == magic.len() && magic == *MAGIC {
            return Ok(false);
        }
        let (hidden, new) = (self.folder.join(format!(".{name}")), self.folder.join(name));
        if path != new && new.symlink_metadata().is_ok() {
            bail!("another file of this name is in {}", self.folder.display());
        }
        let written = rewrite(&file, &hidden).and_then(|()| Ok(File::open(self.folder)?.sync_all()?));
        // From the move on there is only the new file.
        if let Err(e) = written.and_then(|()| keep(path, self.kept, name)) {
            let _ = fs::remove_file(&hidden);
            return Err(e);
        }
        reveal(&hidden, &new)?;
        File::open(self.folder)?.sync_all()?;
        Ok(true)
    }

    /// Gives new files their names whose old ones are kept already.
    fn finish(&self) -> Result<()> {
        for entry in fs::read_dir(self.folder).with_context(|| self.folder.display().to_string())? {
            let entry = entry?;
            let hidden = entry.file_name();
            let Some(name) = hidden.to_str().and_then(|n| n.strip_prefix('.')) else { continue };
            let (hidden, new) = (entry.path(), self.folder.join(name));
            let there = |path: &Path| path.symlink_metadata().is_ok();
            let complete = entry.metadata()?.mode() & READY_MODE == READY_MODE;
            let is_kept =
                there(&self.kept.join(name)) && (self.from == self.folder || !there(&self.from.join(name)));
            if complete && is_kept && (!there(&new) || same(&hidden, &new)) {
                reveal(&hidden, &new)?;
            }
        }
        Ok(())
    }
}

/// Replaces nothing.
fn reveal(hidden: &Path, name: &Path) -> Result<()> {
    fs::hard_link(hidden, name).or_else(|e| if same(hidden, name) { Ok(()) } else { Err(e) })?;
    Ok(fs::remove_file(hidden)?)
}

/// Whether both are the same file.
fn same(a: &Path, b: &Path) -> bool {
    let id = |path: &Path| path.symlink_metadata().ok().map(|m| (m.dev(), m.ino()));
    id(a).is_some() && id(a) == id(b)
}

/// Writes what `file` says in our own form, complete and on disk.
fn rewrite(file: &File, to: &Path) -> Result<()> {
    let envelope = envelope(file)?;
    let _ = fs::remove_file(to);
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let mut out = MaildropWriter::new(BufWriter::new(&new), &envelope)?;
    let mut old = read(file)?;
    old.envelope(&mut Parsed::default())?;
    old.content(|piece| out.content(piece))??;
    out.finish()?.flush()?;
    // Pickup would not take what it cannot read.
    MaildropReader::open(BufReader::new(File::open(to)?))?;
    let meta = file.metadata()?;
    if privilege::is_root() {
        fchown(&new, Some(meta.uid()), Some(meta.gid()))?;
    }
    new.set_permissions(Permissions::from_mode(READY_MODE))?;
    new.set_modified(meta.modified()?)?;
    Ok(new.sync_all()?)
}

fn read(mut file: &File) -> Result<QueueFile<&File>> {
    file.rewind()?;
    Ok(QueueFile::new(file))
}

/// Recipients stand behind the content when `sendmail -t` took them from the header.
fn envelope(file: &File) -> Result<Maildrop> {
    let mut parsed = Parsed::default();
    read(file)?.all(&mut parsed)?;
    let recipients: Vec<_> = parsed.entries.into_iter().filter(|e| !e.done).map(|e| e.recipient).collect();
    if recipients.is_empty() {
        bail!("it has no recipients");
    }
    let (mode, envelope) = (parsed.envelope.mode(), parsed.envelope);
    Ok(Maildrop {
        sender: envelope.sender,
        full_name: parsed.full_name,
        recipients,
        envid: envelope.envid,
        ret: envelope.ret,
        body: envelope.body,
        smtputf8: envelope.smtputf8,
        recipients_from_header: false,
        verp: envelope.verp,
        report_delivery: mode == Mode::Report,
        verify_only: mode == Mode::Verify,
    })
}

#[cfg(test)]
mod tests {
    use super::super::records::tests::file;
    use super::*;
    use std::os::unix::fs::symlink;

    /// What `sendmail -t` leaves.
    fn sample(recipient: &str) -> Vec<u8> {
        let records = [
            ('T', "1795328264 754690"),
            ('S', "bob@example.com"),
            ('M', ""),
            ('N', "To: alice"),
            ('X', ""),
            ('R', recipient),
            ('E', ""),
        ];
        file(&records.into_iter().filter(|r| *r != ('R', "")).collect::<Vec<_>>())
    }

    struct Queue(tempfile::TempDir);

    impl Queue {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            for folder in ["maildrop", "imported/maildrop"] {
                fs::create_dir_all(dir.path().join(folder)).expect("made");
            }
            Self(dir)
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.0.path().join(name)
        }

        fn put(&self, name: &str, bytes: &[u8]) {
            fs::write(self.path(name), bytes).expect("written");
            fs::set_permissions(self.path(name), Permissions::from_mode(READY_MODE)).expect("set");
        }

        fn run(&self) -> (u64, u64) {
            let say = Say::under("postfix", "import-queue", None);
            let drops = convert(&say, self.0.path(), self.0.path(), &self.path("imported")).expect("a run");
            (drops.done, drops.left)
        }

        fn recipients(&self, name: &str) -> Vec<String> {
            let file = File::open(self.path(name)).expect("there");
            assert_eq!(file.metadata().expect("known").nlink(), 1);
            let (m, _) = MaildropReader::open(file).expect("ours");
            m.recipients.into_iter().map(|r| r.address).collect()
        }
    }

    #[test]
    fn recipients_behind_the_content() {
        let q = Queue::new();
        q.put("maildrop/A", &sample("alice@example.com"));
        q.put("maildrop/B", &sample(""));
        assert_eq!(q.run(), (1, 1));
        assert_eq!(q.recipients("maildrop/A"), ["alice@example.com"]);
        assert!(q.path("imported/maildrop/A").exists() && !q.path("maildrop/.A").exists());
        assert_eq!(fs::read(q.path("maildrop/B")).expect("left"), sample(""));
        assert_eq!(q.run(), (0, 1));
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let q = Queue::new();
        q.put("maildrop/A", &sample("alice@example.com"));
        q.put("victim", b"precious");
        symlink(q.path("victim"), q.path("maildrop/.A")).expect("made");
        assert_eq!(q.run(), (1, 0));
        assert_eq!(fs::read(q.path("victim")).expect("there"), b"precious");
        assert_eq!(q.recipients("maildrop/A"), ["alice@example.com"]);
    }

    #[test]
    fn broken_off_anywhere() {
        // The new file is not complete, or is, but the old one is still there: done again.
        for hidden in [&b"HKMA"[..], b"HKMAIL1\nwhole"] {
            let q = Queue::new();
            q.put("maildrop/A", &sample("alice@example.com"));
            q.put("maildrop/.A", hidden);
            assert_eq!(q.run(), (1, 0));
            assert_eq!(q.recipients("maildrop/A"), ["alice@example.com"]);
        }
        // The old one is kept: finished, with the link made or not.
        for linked in [false, true] {
            let q = Queue::new();
            q.put("maildrop/A", &sample("alice@example.com"));
            assert_eq!(q.run(), (1, 0));
            fs::rename(q.path("maildrop/A"), q.path("maildrop/.A")).expect("moved");
            if linked {
                fs::hard_link(q.path("maildrop/.A"), q.path("maildrop/A")).expect("linked");
            }
            assert_eq!(q.run(), (0, 0));
            assert_eq!(q.recipients("maildrop/A"), ["alice@example.com"]);
            assert!(!q.path("maildrop/.A").exists());
        }
    }
}
