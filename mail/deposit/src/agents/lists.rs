//! Files with lists of recipients: .forward files and `:include:` (aliases(5), local(8)).
//!
//! They are read by root, so what the reader could not read itself is refused: the file must be a regular one (no link),
//! readable for the user on whose behalf it is read, and not writable by everybody. Bounded in size.

use super::aliases::{Member, members};
use base_sys::privilege::Identity;
use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// Longest file.
const MAX_SIZE: u64 = 4 << 20;

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It cannot be read now.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not to be trusted.
    #[error("{0}")]
    Untrusted(String),
}

/// Reads a list; `None` when there is none. `strict`: it must belong to the reader or to root (.forward files, and what
/// these include).
pub fn read(path: &Path, reader: &Identity, strict: bool) -> Result<Option<Vec<Member>>, ListError> {
    let flags = libc::O_NONBLOCK | if strict { libc::O_NOFOLLOW } else { 0 };
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        // ELOOP
        Err(e) if e.raw_os_error() == Some(40) => return Err(untrusted(path, "is not a regular file")),
        Err(e) => return Err(e.into()),
    };
    check(path, &file.metadata()?, reader, strict)?;
    Ok(Some(parse(&text(file)?)))
}

fn untrusted(path: &Path, why: &str) -> ListError {
    ListError::Untrusted(format!("file {} {why}", path.display()))
}

fn check(path: &Path, meta: &Metadata, reader: &Identity, strict: bool) -> Result<(), ListError> {
    let owner = meta.uid();
    if !meta.is_file() {
        return Err(untrusted(path, "is not a regular file"));
    }
    if strict && owner != 0 && owner != reader.uid {
        return Err(untrusted(path, &format!("has bad owner uid {owner}")));
    }
    if meta.mode() & 0o002 != 0 {
        return Err(untrusted(path, "is world writable"));
    }
    let bit = match (owner == reader.uid, meta.gid() == reader.gid) {
        (true, _) => 0o400,
        (false, true) => 0o040,
        (false, false) => 0o004,
    };
    if meta.mode() & bit == 0 {
        return Err(io::Error::from_raw_os_error(13).into());
    }
    if meta.len() > MAX_SIZE {
        return Err(untrusted(path, "is too long"));
    }
    Ok(())
}

fn text(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(MAX_SIZE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One or more members a line; `#` starts a comment line.
fn parse(text: &str) -> Vec<Member> {
    let lines = text.lines().filter(|l| !l.trim_start().starts_with('#'));
    lines.flat_map(members).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_sys::privilege;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn lines() {
        let list = parse("# comment\nalice, bob\n\n\"|cat\"\n  # x\n\\carol\n");
        let address = |a: &str| Member::Address(a.into());
        let rest = [Member::Command("cat".into()), Member::User("carol".into())];
        assert_eq!(list, [vec![address("alice"), address("bob")], rest.to_vec()].concat());
    }

    #[test]
    fn only_what_the_reader_may_read() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("f"), dir.path().join("l"));
        std::fs::write(&path, "alice\n").unwrap();
        symlink(&path, &link).unwrap();
        let (me, other) = (Identity::current(), Identity::new(privilege::effective_uid() + 1, 54_321));
        let mode = |m| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(m)).unwrap();
        mode(0o600);
        assert_eq!(read(&path, &me, true).unwrap().unwrap().len(), 1);
        assert!(read(&path, &other, false).is_err());
        assert!(read(&link, &me, true).is_err());
        assert_eq!(read(&link, &me, false).unwrap().unwrap().len(), 1);
        mode(0o644);
        assert!(read(&path, &other, false).unwrap().is_some());
        mode(0o666);
        assert!(read(&path, &me, true).is_err());
        assert!(read(dir.path(), &me, true).is_err());
        assert!(read(&dir.path().join("none"), &me, true).unwrap().is_none());
    }
}
