//! The folders of the worker, as one configuration asks for them.
//!
//! Own ones, where it writes: the queue's `spool` and `maildrop`, data_directory, the log's. Read only: the configuration,
//! the system's (`/etc`, `/usr`: resolver, time zones, certificates, name services), and those of the tables and files
//! that main.cf and master.cf name. A file elsewhere that a later configuration names is opened by master.

use crate::{Named, of_configuration};
use base_conf::{Config, MasterCf};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Paths whose content may be read, and may be changed; everything below them too. What is missing is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folders {
    /// Read only; master opens what is named elsewhere later.
    pub read: BTreeSet<PathBuf>,
    /// Read only, and no file that master would open: whole folders, and what is named inside of settings.
    pub inner: BTreeSet<PathBuf>,
    /// Files are made, changed and deleted.
    pub write: BTreeSet<PathBuf>,
}

/// The system's own, read by libraries.
const SYSTEM: &[&str] = &[
    "/dev/random",
    "/dev/urandom",
    "/etc",
    "/lib",
    "/lib64",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self",
    "/proc/stat",
    "/proc/sys",
    "/run",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/usr",
    "/var/lib/sss/mc",
];

/// Files that are links to somewhere else on some systems (WSL, containers).
const LINKED: &[&str] = &["/etc/hosts", "/etc/localtime", "/etc/resolv.conf", "/etc/nsswitch.conf"];

/// Tables whose file only says where the data are.
const SETTINGS: [&str; 6] = ["ldap", "memcache", "mongodb", "mysql", "pgsql", "sqlite"];

/// Where Cyrus SASL's settings are when `cyrus_sasl_config_path` does not say.
const SASL: &str = "/etc/postfix/sasl:/etc/sasl2:/usr/lib/sasl2";

/// Longest file of settings that is looked into for paths.
const MAX_SETTINGS: u64 = 1 << 20;

/// Tables that a server writes.
const CACHES: [&str; 2] = ["address_verify_map", "postscreen_cache_map"];

impl Folders {
    /// What this configuration asks for.
    pub fn of(config: &Config, master: &MasterCf) -> Self {
        let mut folders = Self::default();
        let value = |name: &str| config.str(name).ok().filter(|v| v.starts_with('/')).map(PathBuf::from);
        if let Some(queue) = value("queue_directory") {
            folders.write.extend(["spool", "maildrop", "corrupt"].map(|name| queue.join(name)));
            folders.read.insert(queue);
        }
        folders.write.extend(value("data_directory"));
        folders.write.insert("/dev/null".into());
        let logs = ["maillog_file", "maillog_json_file"].into_iter().filter_map(value);
        folders.write.extend(logs.filter_map(|log| folder_of(&log)));
        folders.read.extend(SYSTEM.iter().map(PathBuf::from));
        folders.read.insert(config.dir().to_owned());
        folders.cyrus(config);
        let linked = LINKED.iter().filter_map(|l| fs::canonicalize(l).ok());
        folders.read.extend(linked.filter_map(|l| folder_of(&l)));
        for (parameter, named) in of_configuration(config, master) {
            folders.add(&parameter, &named);
        }
        folders
    }

    /// Whether `other` needs no more than these, with master opening the files of tables.
    pub fn cover(&self, other: &Self) -> bool {
        let below = |path: &Path, of: &BTreeSet<PathBuf>| path.ancestors().any(|a| of.contains(a));
        let is_read = |path: &Path| [&self.read, &self.inner, &self.write].iter().any(|of| below(path, of));
        other.write.iter().all(|path| below(path, &self.write))
            && other.inner.iter().all(|path| is_read(path))
    }

    fn add(&mut self, parameter: &str, named: &Named) {
        let Named { table, path } = named;
        match table.as_deref() {
            Some(kind) if SETTINGS.contains(&kind) => {
                self.read.extend(folder_of(path));
                self.settings(path, '=');
            }
            Some(_) if CACHES.contains(&parameter) => self.write.extend(folder_of(path)),
            Some(_) => self.read.extend(folder_of(path)),
            // Programs, mailboxes and sockets are named in the same way: only what is read counts.
            None if parameter.ends_with("CApath") => {
                self.inner.insert(path.clone());
            }
            None if path.is_file() => self.read.extend(folder_of(path)),
            None => {}
        }
    }

    /// Password files that Cyrus SASL's settings for this server name.
    fn cyrus(&mut self, config: &Config) {
        let value = |name: &str| config.str(name).unwrap_or_default();
        let (path, name) = (value("cyrus_sasl_config_path"), value("smtpd_sasl_path"));
        if value("smtpd_sasl_type") != "cyrus" || name.contains('/') {
            return;
        }
        for folder in if path.is_empty() { SASL } else { &path }.split(':').map(Path::new) {
            self.inner.insert(folder.to_owned());
            self.settings(&folder.join(format!("{name}.conf")), ':');
        }
    }

    /// Files that settings name: certificates, and databases, which SQLite locks and may have to roll back.
    fn settings(&mut self, path: &Path, sign: char) {
        if fs::metadata(path).map_or(true, |m| m.len() > MAX_SETTINGS) {
            return;
        }
        let text = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let settings = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        for (name, value) in settings.filter_map(|line| line.split_once(sign)) {
            let paths = value.split([',', ' ', '\t']).filter(|p| p.starts_with('/')).map(Path::new);
            match name.trim() {
                "dbpath" | "sql_database" => self.write.extend(paths.filter_map(folder_of)),
                _ => self.inner.extend(paths.filter_map(folder_of)),
            }
        }
    }
}

/// The folder of a file; a file at the top is named itself.
fn folder_of(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    Some(if parent == Path::new("/") { path.to_owned() } else { parent.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Folders {
        Folders::of(&Config::from_text(text), &MasterCf::parse("").unwrap())
    }

    #[test]
    fn folders_of_a_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let d = dir.path().display();
        fs::write(
            dir.path().join("q.cf"),
            "dbpath = /srv/db/mail.sqlite\nquery = SELECT '/no'\n# x = /hidden/y\n",
        )
        .unwrap();
        let f = of(&format!(
            "queue_directory = /q\ndata_directory = /data\nmaillog_file = /var/log/mail/log\n\
             virtual_mailbox_maps = proxy:hash:/srv/maps/users, sqlite:{d}/q.cf\nvirtual_mailbox_base = /var/vmail\n\
             address_verify_map = btree:/srv/cache/verify\nsmtp_tls_CApath = /srv/ca\n"
        ));
        let has = |of: &BTreeSet<PathBuf>, path: &str| of.contains(Path::new(path));
        for path in ["/q/spool", "/q/maildrop", "/data", "/var/log/mail", "/srv/cache", "/srv/db"] {
            assert!(has(&f.write, path), "{path}");
        }
        assert!(has(&f.inner, "/srv/ca"));
        for path in ["/srv/maps", "/etc", &d.to_string()] {
            assert!(has(&f.read, path), "{path}");
        }
        for path in ["/", "/q", "/var/vmail", "/var", "/hidden", "/srv/maps"] {
            assert!(!has(&f.write, path), "{path}");
        }
        assert!(
            !has(&f.read, "/")
                && !has(&f.read, "/var")
                && !has(&f.read, "/var/vmail")
                && !has(&f.read, "/hidden")
        );
    }

    #[test]
    fn what_covers_what() {
        let base = "queue_directory = /q\ndata_directory = /data\n";
        let more = |line: &str| of(&format!("{base}{line}"));
        let now = more("");
        assert!(now.cover(&more("virtual_alias_maps = hash:/etc/postfix/virtual")));
        assert!(now.cover(&more("address_verify_map = btree:/data/sub/verify")));
        assert!(!now.cover(&more("address_verify_map = btree:/elsewhere/verify")));
        assert!(now.cover(&more("virtual_alias_maps = hash:/elsewhere/virtual")), "master opens it");
        assert!(!now.cover(&more("smtp_tls_CApath = /elsewhere/ca")));
        assert!(more("smtp_tls_CApath = /elsewhere/ca").cover(&now));
    }
}
