//! Edits main.cf: `-e name=value`, `-# name`, `-X name`. Comments, blank lines and the order of entries stay.

use super::{
    Done, Fatal, Options, config_dir,
    options::{Change, definition},
    warn,
};
use std::{
    collections::{BTreeMap, HashSet},
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

pub(super) fn run(o: &Options, change: Change) -> Done {
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    let mut order = Vec::new();
    for arg in &o.names {
        let (name, value) =
            if change == Change::Set { definition(arg)? } else { (plain_name(arg)?, String::new()) };
        if wanted.insert(name.clone(), value).is_none() {
            order.push(name);
        }
    }
    let path = config_dir(o).join("main.cf");
    let open = |e: std::io::Error| Fatal(format!("open {}: {}", path.display(), describe(&e)));
    let text = fs::read(&path).map_err(open)?;
    let mut edited = Edited {
        wanted: &wanted,
        change,
        found: HashSet::new(),
        file: path.display().to_string(),
        out: Vec::new(),
    };
    edited.text(&text);
    let Edited { found, mut out, .. } = edited;
    if change == Change::Set {
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        for name in order.iter().filter(|n| !found.contains(*n)) {
            let value = wanted.get(name).map(String::as_str).unwrap_or_default();
            out.extend_from_slice(format!("{name} = {value}\n").as_bytes());
        }
    }
    replace(&path, &out)
}

fn plain_name(arg: &str) -> Result<String, Fatal> {
    let name = arg.trim();
    match name.is_empty() || name.contains(char::is_whitespace) {
        true => Err(Fatal(format!("-# or -X: bad parameter name: \"{arg}\""))),
        false => Ok(name.to_owned()),
    }
}

struct Edited<'a> {
    wanted: &'a BTreeMap<String, String>,
    change: Change,
    found: HashSet<String>,
    file: String,
    out: Vec<u8>,
}

impl Edited<'_> {
    fn text(&mut self, text: &[u8]) {
        let mut inside = false;
        for line in text.split_inclusive(|b| *b == b'\n') {
            match kind(line) {
                Line::Other => self.out.extend_from_slice(line),
                Line::Start(name) if self.wanted.contains_key(&name) => {
                    inside = true;
                    self.entry(&name, line);
                }
                Line::Start(_) => {
                    inside = false;
                    self.out.extend_from_slice(line);
                }
                Line::Continuation if inside => self.continuation(line),
                Line::Continuation => self.out.extend_from_slice(line),
            }
        }
    }

    fn entry(&mut self, name: &str, line: &[u8]) {
        let first = self.found.insert(name.to_owned());
        match self.change {
            Change::Set => {
                if !first {
                    warn(&format!("{}: multiple entries for \"{name}\"", self.file));
                }
                let value = self.wanted.get(name).map(String::as_str).unwrap_or_default();
                self.out.extend_from_slice(format!("{name} = {value}\n").as_bytes());
            }
            Change::Comment => self.comment(line),
            Change::Remove => {}
        }
    }

    fn continuation(&mut self, line: &[u8]) {
        if self.change == Change::Comment {
            self.comment(line);
        }
    }

    fn comment(&mut self, line: &[u8]) {
        self.out.push(b'#');
        self.out.extend_from_slice(line);
    }
}

/// What a physical line is.
enum Line {
    /// Blank or a comment.
    Other,
    /// The first line of the entry of a name.
    Start(String),
    /// White space, then more.
    Continuation,
}

fn kind(line: &[u8]) -> Line {
    let content = line.trim_ascii_start();
    if content.is_empty() || content.starts_with(b"#") {
        return Line::Other;
    }
    if content.len() < line.len() {
        return Line::Continuation;
    }
    let end = content.iter().position(|b| b.is_ascii_whitespace() || *b == b'=').unwrap_or(content.len());
    Line::Start(String::from_utf8_lossy(content.get(..end).unwrap_or_default()).into_owned())
}

/// Puts `content` in place of a file: complete, durable, with owner and mode as they were.
pub(super) fn replace(path: &Path, content: &[u8]) -> Done {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temp = path.with_file_name(name);
    let fail = |what: &str, at: &Path, e: &std::io::Error| {
        Fatal(format!("{what} {}: {}", at.display(), describe(e)))
    };
    let old = fs::metadata(path).map_err(|e| fail("stat", path, &e))?;
    let mut file = fs::File::create(&temp).map_err(|e| fail("open", &temp, &e))?;
    let written = file
        .write_all(content)
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777)))
        .and_then(|()| file.sync_all());
    // Only root can give a file away; anyone else owns what he edits.
    let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
    if let Err(e) = written.and_then(|()| fs::rename(&temp, path)) {
        let _ = fs::remove_file(&temp);
        return Err(fail("rename", path, &e));
    }
    Ok(())
}

/// The system's words, without Rust's number.
fn describe(e: &std::io::Error) -> String {
    let text = e.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(t, _)| t.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: Change, text: &str, args: &[(&str, &str)], expect: &str) {
        let wanted = args.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let mut e = Edited {
            wanted: &wanted,
            change,
            found: HashSet::new(),
            file: "main.cf".into(),
            out: Vec::new(),
        };
        e.text(text.as_bytes());
        assert_eq!(String::from_utf8(e.out).unwrap(), expect);
    }

    #[test]
    fn entries() {
        let text = "# c\na = 1\n  2\n\n  # in\n  3\nb=x\n";
        check(Change::Set, text, &[("a", "new")], "# c\na = new\n\n  # in\nb=x\n");
        check(Change::Comment, text, &[("a", "")], "# c\n#a = 1\n#  2\n\n  # in\n#  3\nb=x\n");
        check(Change::Remove, text, &[("a", ""), ("b", "")], "# c\n\n  # in\n");
        check(Change::Set, text, &[("z", "1")], text);
    }
}
