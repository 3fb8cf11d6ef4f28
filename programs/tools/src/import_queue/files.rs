//! The files below a queue folder, and the folders that they go to when they were taken over.

use anyhow::{Context, Result, anyhow};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// How deep hashed queue folders may nest.
const MAX_DEPTH: u32 = 17;
/// Files of one name that are kept.
const MAX_NAMESAKES: u32 = 1000;

/// The files below a queue folder, one folder in memory at a time. What cannot be looked into is an error of its own; the rest goes on.
pub(super) struct Files {
    folders: Vec<(PathBuf, u32)>,
    open: Option<fs::ReadDir>,
    depth: u32,
}

impl Files {
    /// A folder that is not there has none.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let open = match fs::read_dir(folder) {
            Ok(open) => Some(open),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e).with_context(|| folder.display().to_string()),
        };
        Ok(Self { folders: Vec::new(), open, depth: 0 })
    }

    /// The path, when it is a file; a folder is remembered.
    fn look(&mut self, entry: std::io::Result<fs::DirEntry>) -> Result<Option<PathBuf>> {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type().with_context(|| path.display().to_string())?;
        if kind.is_dir() && self.depth >= MAX_DEPTH {
            return Err(anyhow!("{}: too deep", path.display()));
        }
        if kind.is_dir() {
            self.folders.push((path, self.depth + 1));
            return Ok(None);
        }
        Ok(kind.is_file().then_some(path))
    }
}

impl Iterator for Files {
    type Item = Result<PathBuf>;

    fn next(&mut self) -> Option<Result<PathBuf>> {
        loop {
            while let Some(entry) = self.open.as_mut().and_then(Iterator::next) {
                if let Some(found) = self.look(entry).transpose() {
                    return Some(found);
                }
            }
            let (folder, depth) = self.folders.pop()?;
            match fs::read_dir(&folder) {
                Ok(open) => (self.open, self.depth) = (Some(open), depth),
                Err(e) => {
                    self.open = None;
                    return Some(Err(e).with_context(|| folder.display().to_string()));
                }
            }
        }
    }
}

/// A folder of `owner` (user and group) with these permissions, made unless it is there; never what a link leads to.
pub(super) fn folder(path: &Path, owner: Option<(u32, u32)>, mode: u32) -> Result<File> {
    let open = || {
        fs::create_dir(path)
            .or_else(|e| if e.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(e) })?;
        let dir =
            OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)?;
        if let Some((uid, gid)) = owner {
            fchown(&dir, Some(uid), Some(gid))?;
        }
        dir.set_permissions(Permissions::from_mode(mode))?;
        Ok::<_, std::io::Error>(dir)
    };
    open().with_context(|| path.display().to_string())
}

/// Moves a file, for good, into a folder that only this run changes: see [`put`].
pub(super) fn keep(path: &Path, folder: &Path, name: &str) -> Result<PathBuf> {
    let to = put(path, folder, name)?;
    for folder in [Some(folder), path.parent()].into_iter().flatten() {
        File::open(folder)?.sync_all()?;
    }
    Ok(to)
}

/// Moves a file, as `name`, or `name.1`, `name.2` … when older ones are there. Says where it is.
pub(super) fn put(path: &Path, folder: &Path, name: &str) -> Result<PathBuf> {
    for n in 0..MAX_NAMESAKES {
        let to = folder.join(if n == 0 { name.to_owned() } else { format!("{name}.{n}") });
        if fs::symlink_metadata(&to).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            return fs::rename(path, &to).map(|()| to).context("the file cannot be moved away");
        }
    }
    Err(anyhow!("too many files of this name are in {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_below_and_what_cannot_be_read() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(dir.path().join("A/B")).expect("made");
        for name in ["1", "A/2", "A/B/3"] {
            fs::write(dir.path().join(name), "").expect("written");
        }
        let mut files = Files::new(dir.path()).expect("open");
        assert_eq!(files.by_ref().filter(Result::is_ok).count(), 3);
        assert_eq!(Files::new(&dir.path().join("none")).expect("open").count(), 0);
        // A folder that cannot be read is an error, and the others are still read.
        let mut files = Files::new(dir.path()).expect("open");
        files.folders.push((dir.path().join("gone"), 1));
        let (good, bad): (Vec<_>, Vec<_>) = files.partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (3, 1));
        let mut files = Files::new(dir.path()).expect("open");
        files.depth = MAX_DEPTH;
        assert_eq!(files.filter(Result::is_err).count(), 1);
    }

    #[test]
    fn a_link_is_no_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        for _ in 0..2 {
            folder(&dir.path().join("new"), None, 0o710).expect("made, or there");
        }
        std::os::unix::fs::symlink(dir.path().join("new"), dir.path().join("link")).expect("made");
        assert!(folder(&dir.path().join("link"), None, 0o710).is_err());
    }

    #[test]
    fn older_files_are_not_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        for text in ["one", "two"] {
            let path = dir.path().join("new");
            fs::write(&path, text).expect("written");
            keep(&path, dir.path(), "A").expect("kept");
        }
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).expect("read");
        assert_eq!((text("A"), text("A.1")), ("one".into(), "two".into()));
    }
}
