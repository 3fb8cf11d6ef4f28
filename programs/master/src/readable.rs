//! "Open for me": which files master opens for the worker, which may not read them itself.
//!
//! Only files that a value of main.cf or master.cf names, by master's own reading of both: `/path`, `type:/path` (and
//! the indexed files of that name). They must be regular files. Those reached through folders that only root can change
//! ([`opener::open_trusted`]) are opened with root's rights, all others with those of `mail_owner` ([`opener::open_as`]): the
//! worker's sandbox has no folders that were named after its start.

use base_conf::{Config, MasterCf};
use base_sandbox::of_configuration;
use base_sys::{opener, privilege::Identity};
use std::{
    collections::HashSet,
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// What table types add to the name in the configuration.
const SUFFIXES: [&str; 6] = ["", ".db", ".lmdb", ".cdb", ".dir", ".pag"];

/// The files that may be opened.
#[derive(Debug, Clone, Default)]
pub struct Readable(HashSet<PathBuf>);

impl Readable {
    /// All files that the values name; a value that cannot be expanded names none.
    pub fn of(config: &Config, master: &MasterCf) -> Self {
        let mut files = HashSet::new();
        for (_, named) in of_configuration(config, master) {
            let suffixes = if named.table.is_some() { &SUFFIXES[..] } else { &SUFFIXES[..1] };
            let path = named.path.display();
            files.extend(suffixes.iter().map(|suffix| PathBuf::from(format!("{path}{suffix}"))));
        }
        Self(files)
    }

    /// Opens `path` if it is one of them; `mail_owner` is whom the worker runs as, if that is not this process's user.
    pub fn open(&self, path: &Path, mail_owner: Option<&Identity>) -> io::Result<File> {
        if !self.0.contains(path) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        match (opener::open_trusted(path), mail_owner) {
            (Err(e), Some(owner)) if e.kind() == io::ErrorKind::PermissionDenied => {
                opener::open_as(path, owner)
            }
            (opened, _) => opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_both_files_and_nothing_else() {
        let config = Config::from_text("smtpd_tls_key_file = $mine\nmine = /etc/k\nx = ${broken\n");
        let master = MasterCf::parse(
            "smtp inet n - n - - smtpd\n  -o smtpd_sender_login_maps=hash:/etc/postfix/logins\n",
        )
        .unwrap();
        let files = Readable::of(&config, &master).0;
        for file in ["/etc/k", "/etc/postfix/logins.db", "/etc/aliases.db"] {
            assert!(files.contains(Path::new(file)), "{file}");
        }
        assert!(!files.contains(Path::new("/etc/k.db")));
        let refused = Readable(files).open(Path::new("/etc/shadow"), None).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn where_others_can_write_with_the_rights_of_the_worker() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map");
        std::fs::write(&path, "a b\n").unwrap();
        let files = Readable(HashSet::from([path.clone()]));
        assert!(files.open(&path, None).is_err(), "below /tmp nothing is trusted");
        let me = Identity::current();
        assert!(files.open(&path, Some(&me)).is_ok());
    }
}
