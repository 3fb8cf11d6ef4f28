//! Opening files for reading, also those that only root may read: "open for me".
//!
//! Whoever reads tables, certificates or keys gets an [`Opener`] by hand. Most open directly ([`Plain`]); the worker, which
//! has dropped its privileges, asks master when it is refused ([`Opener::open`] of the one in `programs/worker`).
//! Master answers only for files that its own reading of main.cf and master.cf names, by [`open_trusted`], or by [`open_as`]
//! with the rights that the worker has itself, whose sandbox may not have the file's folder.

use crate::privilege::{self, Identity};
use nix::fcntl::OFlag;
use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Component, Path, PathBuf},
};

/// Most symbolic links on the way to a file, as in the kernel.
const MAX_LINKS: usize = 40;

/// Opens files for reading.
pub trait Opener: Send + Sync {
    /// Opens a regular file; what it refers to may be readable by root only.
    fn open(&self, path: &Path) -> io::Result<File>;

    /// The state of a file, also of one in a folder that this process may not search.
    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        match fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => self.open(path)?.metadata(),
            known => known,
        }
    }

    /// The content of a file of at most `limit` bytes.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.open(path)?.take(limit.saturating_add(1)).read_to_end(&mut content)?;
        match u64::try_from(content.len()).is_ok_and(|len| len <= limit) {
            true => Ok(content),
            false => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }
}

/// Opens with the rights of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Opener for Plain {
    fn open(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }
}

/// Opens a regular file for somebody with fewer rights. No folder and no symbolic link on the way may be in the hands of
/// anybody but root (or this process's own user): else a name in the configuration could be made to lead anywhere.
pub fn open_trusted(path: &Path) -> io::Result<File> {
    open_regular(&resolve(path)?, OFlag::O_NOFOLLOW)
}

/// Opens a regular file with the rights of another user, wherever it is.
pub fn open_as(path: &Path, who: &Identity) -> io::Result<File> {
    privilege::as_identity(who, || open_regular(path, OFlag::empty()))
}

fn open_regular(path: &Path, more: OFlag) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | more;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// The path without symbolic links, if every folder on the way is trusted.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    if !path.is_absolute() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not an absolute path"));
    }
    let mut links = 0;
    let mut real = PathBuf::from("/");
    let mut todo: Vec<OsString> = parts(path);
    trust(&real)?;
    while let Some(name) = todo.pop() {
        if name == ".." {
            real.pop();
            continue;
        }
        let next = real.join(&name);
        let meta = fs::symlink_metadata(&next)?;
        if meta.is_symlink() {
            links += 1;
            if links > MAX_LINKS {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many symbolic links"));
            }
            let target = fs::read_link(&next)?;
            if target.is_absolute() {
                real = PathBuf::from("/");
            }
            todo.extend(parts(&target));
            continue;
        }
        if meta.is_dir() {
            trust(&next)?;
        }
        real = next;
    }
    Ok(real)
}

/// The names of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|c| match c {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

fn trust(folder: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(folder)?;
    let ours = meta.uid() == 0 || meta.uid() == privilege::effective_uid();
    // In a sticky folder nobody else can replace what is root's, but anybody can add names.
    match ours && meta.mode() & 0o022 == 0 {
        true => Ok(()),
        false => {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, "a folder on the way is writable by others"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A folder whose parents are trusted: below /tmp nothing is.
    fn with_trusted(test: impl FnOnce(&Path)) {
        let Some(base) = ["/run", "/var/lib", "/root"]
            .into_iter()
            .find(|d| trust(Path::new(d)).is_ok() && tempfile::tempdir_in(d).is_ok())
        else {
            return;
        };
        let dir = tempfile::tempdir_in(base).unwrap();
        test(dir.path());
    }

    #[test]
    fn files_in_safe_places() {
        with_trusted(|dir| {
            fs::write(dir.join("key"), "secret").unwrap();
            symlink("key", dir.join("link")).unwrap();
            symlink(dir.join("link"), dir.join("far")).unwrap();
            fs::create_dir(dir.join("sub")).unwrap();
            for name in ["key", "link", "far", "sub/../key"] {
                let mut text = String::new();
                open_trusted(&dir.join(name)).unwrap().read_to_string(&mut text).unwrap();
                assert_eq!(text, "secret", "{name}");
            }
            assert!(open_trusted(&dir.join("sub")).is_err(), "a folder");
            assert_eq!(open_trusted(&dir.join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
            symlink("loop", dir.join("loop")).unwrap();
            assert!(open_trusted(&dir.join("loop")).is_err());
        });
        assert!(open_trusted(Path::new("etc/passwd")).is_err());
        assert!(open_trusted(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn nothing_in_or_through_a_folder_that_others_can_write() {
        with_trusted(|dir| {
            fs::write(dir.join("key"), "secret").unwrap();
            let open = dir.join("open");
            fs::create_dir(&open).unwrap();
            fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
            fs::write(open.join("file"), "").unwrap();
            symlink(dir.join("key"), open.join("link")).unwrap();
            symlink(open.join("link"), dir.join("into")).unwrap();
            for name in ["open/file", "open/link", "into"] {
                let error = open_trusted(&dir.join(name)).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{name}");
            }
        });
    }

    #[test]
    fn with_the_rights_of_another_user() {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| open_as(&dir.path().join(name), &Identity::new(65534, 65534));
        for (name, mode) in [("all", 0o644), ("owner", 0o600)] {
            fs::write(dir.path().join(name), "x").unwrap();
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(open("all").is_ok());
        assert_eq!(open("owner").is_err(), crate::privilege::is_root());
        assert!(open("").is_err(), "a folder");
    }

    #[test]
    fn a_limit_of_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "12345").unwrap();
        assert_eq!(Plain.read(&path, 5).unwrap(), b"12345");
        assert_eq!(Plain.read(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(Plain.metadata(&path).unwrap().len(), 5);
    }
}
