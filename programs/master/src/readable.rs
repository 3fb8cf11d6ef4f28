//! "Open for me": which files master opens for the worker, which may not read them itself.
//!
//! Only files that a value of main.cf or master.cf names, by master's own reading of both: `/path`, `type:/path` (and
//! the indexed files of that name). They must be regular files, reached through folders that only root can change
//! ([`opener::open_trusted`]), and are opened for reading.

use base_conf::{Config, MasterCf, params};
use base_sys::opener;
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
        let mut add = |text: &str| files.extend(named(text));
        let built_in = params::ALL.iter().map(|p| p.name);
        for name in built_in.chain(config.main_cf().names()) {
            config.str(name).iter().for_each(|text| add(text));
        }
        for service in &master.services {
            let view = config.service(&service.name, &service.overrides);
            for (name, _) in &service.overrides {
                view.str(name).iter().for_each(|text| add(text));
            }
        }
        Self(files)
    }

    /// Opens `path` if it is one of them.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        match self.0.contains(path) {
            true => opener::open_trusted(path),
            false => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

/// The paths in a value: those that start an item, or follow the `type:` of a table.
fn named(text: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for item in text.split(|c: char| c.is_whitespace() || ",{}=\"".contains(c)) {
        let Some(at) = item.find('/') else { continue };
        let (before, path) = item.split_at(at);
        let is_table = before.ends_with(':');
        if !is_table && !before.chars().all(|c| c == '!') {
            continue;
        }
        let suffixes = if is_table { &SUFFIXES[..] } else { &SUFFIXES[..1] };
        files.extend(suffixes.iter().map(|suffix| PathBuf::from(format!("{path}{suffix}"))));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        named(text).iter().map(|p| p.display().to_string()).filter(|p| !p.contains('.')).collect()
    }

    #[test]
    fn paths_in_values() {
        let cases: &[(&str, &[&str])] = &[
            ("/etc/a", &["/etc/a"]),
            ("!/etc/a, b/c", &["/etc/a"]),
            ("proxy:hash:/etc/a regexp:/etc/b", &["/etc/a", "/etc/b"]),
            ("unionmap:{hash:/a,{lmdb:/b}}", &["/a", "/b"]),
            ("cafile=/x", &["/x"]),
            ("127.0.0.0/8 [::1]/128 submit/x", &[]),
            ("", &[]),
        ];
        for (text, want) in cases {
            assert_eq!(names(text), *want, "{text}");
        }
        assert!(named("hash:/etc/a").contains(&PathBuf::from("/etc/a.db")));
        assert!(!named("/etc/a").contains(&PathBuf::from("/etc/a.db")));
    }

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
        let refused = Readable(files).open(Path::new("/etc/shadow")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }
}
