//! Whether the server could read a file: as `mail_owner`, or by way of master, which opens files of root only in folders that nobody
//! else can change ([`base_sys::opener`]). For the rule `unreadable-file`; reads metadata only.

use base_sys::{opener::open_trusted, privilege::is_root, users::User};
use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

const READ: u32 = 4;
const SEARCH: u32 = 1;

/// Why a server whose `mail_owner` is `owner` cannot read the file at `path`; `None` when it can, or when there is none.
pub fn unreadable(owner: &str, path: &Path) -> Option<io::Error> {
    Reader::of(owner).fails(path)
}

/// Who reads.
enum Reader {
    /// This user and no other: a server that is not run by root.
    Myself,
    /// `mail_owner`, with the help of master.
    Owner { uid: u32, groups: Vec<u32> },
}

impl Reader {
    fn of(owner: &str) -> Self {
        if !is_root() {
            return Self::Myself;
        }
        let user = User::by_name(owner).ok().flatten();
        // Without that user the server does not start at all, which another rule tells.
        user.map_or(Self::Owner { uid: u32::MAX, groups: Vec::new() }, |u| {
            let mut groups = u.more_groups();
            groups.push(u.gid);
            Self::Owner { uid: u.uid, groups }
        })
    }

    /// Why the file cannot be read, if it is there and cannot.
    fn fails(&self, path: &Path) -> Option<io::Error> {
        fs::metadata(path).ok()?;
        match self {
            Self::Myself => File::open(path).err(),
            Self::Owner { .. } if self.may(path) => None,
            Self::Owner { .. } => open_trusted(path).err(),
        }
    }

    fn may(&self, path: &Path) -> bool {
        let Ok(real) = path.canonicalize() else { return false };
        let folders = real.ancestors().skip(1);
        self.has(&real, READ) && folders.into_iter().all(|folder| self.has(folder, SEARCH))
    }

    fn has(&self, path: &Path, right: u32) -> bool {
        fs::metadata(path).is_ok_and(|meta| self.right(&meta, right))
    }

    fn right(&self, meta: &Metadata, right: u32) -> bool {
        let Self::Owner { uid, groups } = self else { return true };
        let shift = match meta {
            m if m.uid() == *uid => 6,
            m if groups.contains(&m.gid()) => 3,
            _ => 0,
        };
        meta.mode() >> shift & right != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_sys::privilege::effective_uid;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn by_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        // For root, a folder that others can change: there master opens nothing.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let owner = User::by_id(effective_uid()).unwrap().unwrap().name;
        let file = dir.path().join("table");
        assert!(unreadable(&owner, &file).is_none(), "not there");
        for (mode, fails) in [(0o644, false), (0o600, false), (0o000, true)] {
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(unreadable(&owner, &file).is_some(), fails, "{mode:o}");
            fs::remove_file(&file).unwrap();
        }
    }
}
