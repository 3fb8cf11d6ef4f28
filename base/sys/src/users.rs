//! The password and group databases (getpwnam_r(3), getgrnam_r(3)), through the name service switch.
//!
//! Used by courier (local(8) recipients), master and tools (mail_owner, setgid_group), and the `unix:` table type.
//! A missing entry is `Ok(None)`, a broken name service an error: the caller must treat it as temporary.

use crate::explain;
use std::{io, path::PathBuf};

/// An entry of the password database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Encrypted password field, usually `x`.
    pub passwd: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Full name and more, as it stands.
    pub gecos: String,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
}

/// An entry of the group database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Login names of its members.
    pub members: Vec<String>,
}

impl User {
    /// The groups that the user is in besides its own, as initgroups(3) finds them.
    pub fn more_groups(&self) -> Vec<u32> {
        let Ok(name) = std::ffi::CString::new(self.name.as_str()) else { return Vec::new() };
        let all = nix::unistd::getgrouplist(&name, self.gid.into()).unwrap_or_default();
        all.into_iter().map(nix::unistd::Gid::as_raw).filter(|g| *g != self.gid).collect()
    }

    /// Looks up a login name. Names with NUL or longer than 255 bytes do not exist.
    pub fn by_name(name: &str) -> io::Result<Option<Self>> {
        if !plausible(name) {
            return Ok(None);
        }
        found(nix::unistd::User::from_name(name), name).map(|u| u.map(Self::from))
    }

    /// Looks up a user id.
    pub fn by_id(uid: u32) -> io::Result<Option<Self>> {
        found(nix::unistd::User::from_uid(uid.into()), uid).map(|u| u.map(Self::from))
    }
}

impl From<nix::unistd::User> for User {
    fn from(u: nix::unistd::User) -> Self {
        Self {
            name: u.name,
            passwd: u.passwd.to_string_lossy().into_owned(),
            uid: u.uid.as_raw(),
            gid: u.gid.as_raw(),
            gecos: u.gecos.to_string_lossy().into_owned(),
            home: u.dir,
            shell: u.shell,
        }
    }
}

impl Group {
    /// Looks up a group name.
    pub fn by_name(name: &str) -> io::Result<Option<Self>> {
        if !plausible(name) {
            return Ok(None);
        }
        found(nix::unistd::Group::from_name(name), name).map(|g| g.map(Self::from))
    }

    /// Looks up a group id.
    pub fn by_id(gid: u32) -> io::Result<Option<Self>> {
        found(nix::unistd::Group::from_gid(gid.into()), gid).map(|g| g.map(Self::from))
    }
}

impl From<nix::unistd::Group> for Group {
    fn from(g: nix::unistd::Group) -> Self {
        Self { name: g.name, gid: g.gid.as_raw(), members: g.mem }
    }
}

fn plausible(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.contains('\0')
}

/// getpwnam(3) says "not found" with any of these codes.
fn found<T>(result: nix::Result<Option<T>>, key: impl std::fmt::Display) -> io::Result<Option<T>> {
    use nix::errno::Errno;
    match result {
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        other => other.map_err(|e| explain(format_args!("lookup of {key}"), e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_found_both_ways() {
        let root = User::by_name("root").unwrap().unwrap();
        assert_eq!((root.uid, root.home.to_str()), (0, Some("/root")));
        assert_eq!(User::by_id(0).unwrap().unwrap().name, "root");
        assert_eq!(Group::by_id(0).unwrap().unwrap().name, "root");
    }

    #[test]
    fn strange_names_do_not_exist() {
        for name in ["", "no such user", "a\0b", &"x".repeat(5000)] {
            assert_eq!(User::by_name(name).unwrap(), None, "{name:?}");
            assert_eq!(Group::by_name(name).unwrap(), None, "{name:?}");
        }
    }
}
