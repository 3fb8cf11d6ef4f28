//! Puts a new file in place of a configuration file: one editor at a time, complete, durable, with owner and mode as they were.
//!
//! The new text is written to `FILE.tmp`, which stays locked from before the old text is read until it has been renamed into place
//! (postconf(1), "the file is copied to a temporary file then renamed into place"). On an error the old file stays as it is.

use super::{Done, Fatal, describe};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// An edit that has begun.
pub(crate) struct Replacing {
    path: PathBuf,
    temp: PathBuf,
    file: File,
}

impl Replacing {
    /// Takes the lock, waiting for another editor to finish.
    pub fn begin(path: &Path) -> Result<Self, Fatal> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let temp = path.with_file_name(name);
        // Not even an empty temporary file beside a file that cannot be edited.
        File::open(path).map_err(|e| fail("open", path, " for reading", &e))?;
        loop {
            // What is written may be secret: nobody else's before it has the old file's mode.
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(&temp);
            let file = file.map_err(|e| fail("open", &temp, "", &e))?;
            file.lock().map_err(|e| fail("lock", &temp, "", &e))?;
            // The one who held the lock has renamed or removed the file it was on.
            let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
            let current = file.metadata().and_then(|m| Ok(same(m, fs::symlink_metadata(&temp)?)));
            if current.is_ok_and(|c| c) {
                return Ok(Self { path: path.to_owned(), temp, file });
            }
        }
    }

    /// The text to edit.
    pub fn read(&self) -> Result<Vec<u8>, Fatal> {
        fs::read(&self.path).map_err(|e| fail("open", &self.path, " for reading", &e))
    }

    /// Puts `content` in place.
    pub fn finish(mut self, content: &[u8]) -> Done {
        self.write(content).map_err(|e| fail("write", &self.temp, "", &e))?;
        fs::rename(&self.temp, &self.path).map_err(|e| fail("rename", &self.temp, "", &e))?;
        self.temp = PathBuf::new();
        Ok(())
    }

    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        let old = fs::metadata(&self.path)?;
        self.file.set_len(0)?;
        self.file.write_all(content)?;
        // Only root can give a file away; anyone else owns what he edits.
        let _ = std::os::unix::fs::fchown(&self.file, Some(old.uid()), Some(old.gid()));
        self.file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
        self.file.sync_all()
    }
}

impl Drop for Replacing {
    fn drop(&mut self) {
        if !self.temp.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.temp);
        }
    }
}

fn fail(what: &str, at: &Path, why: &str, e: &io::Error) -> Fatal {
    Fatal::new(format!("{what} {}{why}: {}", at.display(), describe(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_stays_and_editors_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.cf");
        fs::write(&path, "0").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    let edit = Replacing::begin(&path).unwrap();
                    let n: u32 = String::from_utf8(edit.read().unwrap()).unwrap().parse().unwrap();
                    edit.finish((n + 1).to_string().as_bytes()).unwrap();
                });
            }
        });
        assert_eq!(fs::read(&path).unwrap(), b"8");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        drop(Replacing::begin(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(Replacing::begin(&dir.path().join("none")).is_err());
    }
}
