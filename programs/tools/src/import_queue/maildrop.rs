//! Files of Postfix's maildrop become files of ours, which pickup takes when the server starts.
//!
//! Done with the caller's rights, before they are given up: the new file belongs to the user who submitted the old one.

use super::records::{Parsed, QueueFile};
use super::{Files, message};
use crate::say::Say;
use anyhow::{Context, Result, bail};
use base_calls::maildrop::{MAGIC, Maildrop, MaildropWriter, READY_MODE};
use base_sys::privilege;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{BufWriter, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

/// How it went.
#[derive(Debug, Default)]
pub(super) struct Drops {
    pub(super) done: u64,
    pub(super) left: u64,
}

/// Converts all of them; `from` and `own` are queue directories.
pub(super) fn convert(say: &Say, from: &Path, own: &Path, kept: &Path) -> Result<Drops> {
    let mut drops = Drops::default();
    for path in Files::new(&from.join("maildrop"))? {
        match one(&path, &own.join("maildrop"), &kept.join("maildrop")) {
            Ok(true) => drops.done += 1,
            Ok(false) => {}
            Err(e) => {
                say.warning(&format!("import-queue: {}: {e:#}", path.display()));
                drops.left += 1;
            }
        }
    }
    Ok(drops)
}

/// False: it is a file of ours.
fn one(path: &Path, folder: &Path, kept: &Path) -> Result<bool> {
    let Some(mut file) = message::open(path)? else { bail!("incomplete") };
    let meta = file.metadata()?;
    let mut magic = [0; MAGIC.len()];
    if file.read(&mut magic)? == magic.len() && magic == *MAGIC {
        return Ok(false);
    }
    file.rewind()?;
    let name = path.file_name().and_then(|n| n.to_str()).context("its name makes no sense")?;
    let hidden = folder.join(format!(".{name}"));
    let written = rewrite(file, &hidden).and_then(|new| {
        if privilege::is_root() {
            chown(&hidden, Some(meta.uid()), Some(meta.gid()))?;
        }
        new.set_permissions(Permissions::from_mode(READY_MODE))?;
        new.set_modified(meta.modified()?)?;
        new.sync_all()?;
        // From here on there is one of them in the maildrop, under this name.
        fs::hard_link(path, kept.join(name)).context("cannot keep the file")?;
        fs::rename(&hidden, folder.join(name))?;
        File::open(folder)?.sync_all()?;
        Ok(())
    });
    if written.is_err() {
        let _ = fs::remove_file(&hidden);
    }
    written?;
    if path.parent() != Some(folder) {
        fs::remove_file(path)?;
    }
    Ok(true)
}

/// Writes what `file` says in our own form.
fn rewrite(file: File, to: &Path) -> Result<File> {
    let mut file = QueueFile::new(file);
    let mut parsed = Parsed::default();
    file.envelope(&mut parsed)?;
    let attribute = |name: &str| parsed.envelope.attribute(name).map(str::to_owned);
    let flags: u32 = attribute("trace_flags").and_then(|f| f.parse().ok()).unwrap_or(0);
    let envelope = Maildrop {
        sender: parsed.envelope.sender.clone(),
        full_name: parsed.full_name.clone(),
        recipients: parsed.entries.iter().filter(|e| !e.done).map(|e| e.recipient.clone()).collect(),
        envid: parsed.envelope.envid.clone(),
        ret: parsed.envelope.ret,
        body: parsed.envelope.body,
        smtputf8: parsed.envelope.smtputf8,
        recipients_from_header: false,
        verp: parsed.envelope.verp.clone(),
        report_delivery: flags & RECORD != 0,
        verify_only: flags & VERIFY != 0,
    };
    let new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    let mut out = MaildropWriter::new(BufWriter::new(new), &envelope)?;
    file.content(|piece| out.content(piece))??;
    file.rest(&mut parsed)?;
    let mut out = out.finish()?;
    out.flush()?;
    Ok(out.into_inner()?)
}

/// Bits of `trace_flags`: `sendmail -bv`, `sendmail -v`.
const VERIFY: u32 = 1;
const RECORD: u32 = 2;
