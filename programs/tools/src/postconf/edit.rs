//! Edits main.cf: `-e name=value`, `-# name`, `-X name`. Comments, blank lines and the order of entries stay.

use super::{
    Done, Fatal, Options, config_dir,
    options::{Change, definition},
    replace::Replacing,
    warn,
};
use std::collections::{BTreeMap, HashSet};

pub(super) fn run(o: &Options, change: Change) -> Done {
    let (wanted, order) = requests(&o.names, change)?;
    let path = config_dir(o).join("main.cf");
    let replacing = Replacing::begin(&path)?;
    let mut edited = Edited {
        wanted: &wanted,
        change,
        found: HashSet::new(),
        file: path.display().to_string(),
        out: Vec::new(),
    };
    edited.text(&replacing.read()?);
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
    replacing.finish(&out)
}

/// What is asked for by name, and the names in order; the last request for a name counts.
fn requests(args: &[String], change: Change) -> Result<(BTreeMap<String, String>, Vec<String>), Fatal> {
    let mut wanted = BTreeMap::new();
    let mut order = Vec::new();
    for arg in args {
        check_line(arg)?;
        let (name, value) =
            if change == Change::Set { definition(arg)? } else { (plain_name(arg)?, String::new()) };
        match wanted.insert(name.clone(), value) {
            Some(earlier) => {
                warn(&format!("ignoring earlier request: '{}'", request_text(&name, &earlier, change)))
            }
            None => order.push(name),
        }
    }
    Ok((wanted, order))
}

fn request_text(name: &str, value: &str, change: Change) -> String {
    if change == Change::Set { format!("{name} = {value}") } else { name.to_owned() }
}

/// Refuses a request that would become something else in the file than one entry.
pub(super) fn check_line(arg: &str) -> Done {
    match () {
        () if arg.contains('\n') => Err(Fatal::new("-e, -X, or -# accepts no multi-line input")),
        () if arg.trim_start().starts_with('#') => Err(Fatal::new("-e, -X, or -# accepts no comment input")),
        () => Ok(()),
    }
}

fn plain_name(arg: &str) -> Result<String, Fatal> {
    match arg.trim() {
        "" => Err(Fatal::new("-X or -# requires non-blank parameter names")),
        name => Ok(name.to_owned()),
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

    #[test]
    fn unfit_requests() {
        let fault = |arg: &str, change| requests(&[arg.to_owned()], change).unwrap_err().text;
        assert_eq!(fault("a=b\nc", Change::Set), "-e, -X, or -# accepts no multi-line input");
        assert_eq!(fault(" #a=b", Change::Set), "-e, -X, or -# accepts no comment input");
        assert_eq!(fault(" ", Change::Remove), "-X or -# requires non-blank parameter names");
    }
}
