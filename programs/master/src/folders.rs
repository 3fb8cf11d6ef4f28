//! The folders below queue_directory, with Postfix's owners and modes (postfix-files): made when missing, corrected when
//! they are ours and wrong.
//!
//! As root only; without root everything is made with the caller's ownership. Folders are opened without following
//! symbolic links before owner and mode are set.

use crate::settings::{Owners, Settings};
use anyhow::{Context, Result};
use base_log::Target;
use base_sys::system_text;
use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::Path,
};

const ONLY_FOLDER: i32 = libc::O_DIRECTORY | libc::O_NOFOLLOW;

#[derive(Clone, Copy)]
enum Owner {
    Root,
    Mail,
}

#[derive(Clone, Copy)]
enum Group {
    Root,
    Mail,
    Setgid,
}

/// Name below queue_directory, owner, group, mode.
const FOLDERS: &[(&str, Owner, Group, u32)] = &[
    ("pid", Owner::Root, Group::Root, 0o755),
    ("private", Owner::Mail, Group::Root, 0o700),
    ("public", Owner::Mail, Group::Setgid, 0o2710),
    ("maildrop", Owner::Mail, Group::Setgid, 0o1730),
    ("corrupt", Owner::Mail, Group::Root, 0o700),
    ("spool", Owner::Mail, Group::Mail, 0o700),
];

/// Makes and corrects all of them, queue_directory and data_directory too.
pub fn prepare(settings: &Settings) -> Result<()> {
    folder(settings, &settings.queue_directory, Owner::Root, Group::Root, 0o755)?;
    for (name, owner, group, mode) in FOLDERS {
        folder(settings, &settings.queue_directory.join(name), *owner, *group, *mode)?;
    }
    folder(settings, &settings.data_directory, Owner::Mail, Group::Mail, 0o700)
}

/// `maillog_file` and `maillog_json_file` must be writable for the worker too, which opens them anew after a rotation: they
/// belong to mail_owner. A link or anything but a regular file is left alone.
pub fn give_log_files(settings: &Settings) -> io::Result<()> {
    let Some(owners) = &settings.owners else { return Ok(()) };
    let classic = match &settings.log_target {
        Target::File(path) => Some(path),
        Target::Syslog(..) | Target::Stdout => None,
    };
    classic.into_iter().chain(&settings.events).try_for_each(|path| give(path, owners))
}

fn give(path: &Path, owners: &Owners) -> io::Result<()> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() && meta.nlink() == 1 && meta.uid() != owners.user {
        fchown(&file, Some(owners.user), None)?;
    }
    Ok(())
}

fn folder(settings: &Settings, path: &Path, owner: Owner, group: Group, mode: u32) -> Result<()> {
    make(path).with_context(|| format!("cannot make folder {}", path.display()))?;
    let Some(owners) = &settings.owners else { return Ok(()) };
    let uid = match owner {
        Owner::Root => 0,
        Owner::Mail => owners.user,
    };
    let gid = match group {
        Group::Root => 0,
        Group::Mail => owners.group,
        Group::Setgid => owners.setgid,
    };
    correct(path, uid, gid, mode)
        .map_err(|e| anyhow::anyhow!("cannot set owner and mode of {}: {}", path.display(), system_text(&e)))
}

fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// A folder that somebody gave another group on purpose (queue_directory, data_directory) keeps it when the owner is right.
fn correct(path: &Path, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    let file: File = OpenOptions::new().read(true).custom_flags(ONLY_FOLDER).open(path)?;
    let meta = file.metadata()?;
    if (meta.uid(), meta.gid()) != (uid, gid) {
        fchown(&file, Some(uid), Some(gid))?;
    }
    if meta.mode() & 0o7777 != mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_modes_are_corrected_and_links_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        make(&path).unwrap();
        let meta = std::fs::metadata(&path).unwrap();
        correct(&path, meta.uid(), meta.gid(), 0o1730).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o1730);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(correct(&link, meta.uid(), meta.gid(), 0o700).is_err());
    }
}
