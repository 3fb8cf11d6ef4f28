//! MySQL option files (`my.cnf`): the settings of the groups `[client]`, `[client-server]` and one more.
//!
//! `!include` and `!includedir` are followed. A default file that is not there is no error, one that the table names
//! is. Files are read through the table's opener. mysql_table(5): option_file, option_group.

use base_sys::opener::Opener;
use std::collections::HashMap;
use std::path::Path;

/// Where options are looked for when the table names no file.
const DEFAULT_FILES: &[&str] = &["/etc/my.cnf", "/etc/mysql/my.cnf"];
const MAX_DEPTH: usize = 5;
/// The largest file, in bytes, and the most options of all files.
const MAX_FILE: u64 = 1 << 20;
const MAX_LINES: usize = 100_000;

/// Options by name, with `-` for `_`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group(HashMap<String, String>);

impl Group {
    /// The value of an option.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Reads `file` (empty: the default files) for the client's groups and then `group`.
pub fn read(opener: &dyn Opener, file: &str, group: &str) -> Result<Group, String> {
    let mut lines = Vec::new();
    if file.is_empty() {
        for file in DEFAULT_FILES {
            let _ = load(opener, Path::new(file), 0, &mut lines);
        }
    } else {
        load(opener, Path::new(file), 0, &mut lines)?;
    }
    let mut options = Group::default();
    for wanted in ["client-server", "client", group] {
        let of_group = lines.iter().filter(|(of, ..)| of == wanted);
        options.0.extend(of_group.map(|(_, name, value)| (name.clone(), value.clone())));
    }
    Ok(options)
}

/// Group, name, value.
type Line = (String, String, String);

fn load(opener: &dyn Opener, path: &Path, depth: usize, out: &mut Vec<Line>) -> Result<(), String> {
    if depth > MAX_DEPTH || out.len() > MAX_LINES {
        return Ok(());
    }
    let bytes = opener.read(path, MAX_FILE);
    let bytes = bytes.map_err(|e| format!("open {}: {}", path.display(), base_sys::system_text(&e)))?;
    let mut group = String::new();
    for line in String::from_utf8_lossy(&bytes).lines().map(str::trim) {
        if let Some(folder) = line.strip_prefix("!includedir ") {
            let mut files: Vec<_> =
                std::fs::read_dir(folder.trim()).into_iter().flatten().flatten().map(|e| e.path()).collect();
            files.retain(|file| file.extension().is_some_and(|e| e == "cnf"));
            files.sort();
            files.iter().for_each(|file| {
                let _ = load(opener, file, depth + 1, out);
            });
        } else if let Some(file) = line.strip_prefix("!include ") {
            let _ = load(opener, Path::new(file.trim()), depth + 1, out);
        } else if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            name.trim().clone_into(&mut group);
        } else if !line.is_empty() && !line.starts_with(['#', ';']) {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            out.push((group.clone(), name.trim().replace('_', "-"), unquoted(value.trim()).to_owned()));
        }
    }
    Ok(())
}

fn unquoted(value: &str) -> &str {
    let inside = |q: char| value.strip_prefix(q).and_then(|v| v.strip_suffix(q));
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base_sys::opener::Plain;
    use std::{fs::File, io, path::PathBuf};

    #[test]
    fn groups_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("my.cnf");
        let more = dir.path().join("more");
        std::fs::create_dir(&more).unwrap();
        std::fs::write(more.join("a.cnf"), "[mail]\nuser = 'from mail'\n").unwrap();
        std::fs::write(more.join("b.txt"), "[client]\nuser = no\n").unwrap();
        let text = "# x\n[client]\nuser=c\nssl_ca = \"/ca\"\nskip\n[mysqld]\nport=9\n";
        std::fs::write(&file, format!("{text}!includedir {}\n", more.display())).unwrap();
        let path = file.to_str().unwrap();
        let client = read(&Plain, path, "client").unwrap();
        assert_eq!(
            (client.get("user"), client.get("ssl-ca"), client.get("port")),
            (Some("c"), Some("/ca"), None)
        );
        assert_eq!(read(&Plain, path, "mail").unwrap().get("user"), Some("from mail"));
        assert_eq!(
            read(&Plain, "/nonexistent", "x").unwrap_err(),
            "open /nonexistent: No such file or directory"
        );
    }

    /// Opens what only somebody else may read.
    struct Other(PathBuf);

    impl Opener for Other {
        fn open(&self, path: &Path) -> io::Result<File> {
            assert_eq!(path, Path::new("/secret"));
            File::open(&self.0)
        }
    }

    #[test]
    fn through_the_opener_and_not_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("my.cnf");
        std::fs::write(&file, "[client]\npassword=p\n!include /secret\n!include /secret\n").unwrap();
        let other = Other(file.clone());
        assert_eq!(read(&other, "/secret", "client").unwrap().get("password"), Some("p"));
        std::fs::write(&file, vec![b'#'; 1 << 21]).unwrap();
        assert_eq!(read(&other, "/secret", "client").unwrap_err(), "open /secret: file too large");
    }
}
