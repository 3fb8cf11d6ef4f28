//! main.cf as written: every definition with file and line (postconf(5), "CONFIGURATION FILE FORMAT").
//!
//! A line that starts with white space continues the one before; empty lines and lines whose first character is `#`
//! are skipped, also between continuation lines. The last definition of a name counts; the earlier ones are kept for
//! warnings. Reading stops at the first line that is no definition, with an [`Error`]. Bytes that are not UTF-8 are
//! replaced.

use crate::Error;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// Files longer than this are refused.
pub const MAX_FILE: u64 = 16 << 20;

/// One definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Parameter name.
    pub name: String,
    /// Value, before expansion; continuation lines joined as they stand.
    pub value: String,
    /// First line of the definition.
    pub line: u32,
}

/// A main.cf file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MainCf {
    /// Where it was read.
    pub file: PathBuf,
    /// Every definition in order, overridden ones too.
    pub entries: Vec<Entry>,
    /// What Postfix warns about while reading, in its words.
    pub warnings: Vec<String>,
    index: HashMap<String, usize>,
}

/// A logical line: continuation lines joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logical {
    /// The text without line ends.
    pub text: String,
    /// Its first line, from 1.
    pub line: u32,
}

/// Splits a configuration file into logical lines.
pub fn logical_lines(text: &str) -> Vec<Logical> {
    let mut out: Vec<Logical> = Vec::new();
    for (number, line) in (1_u32..).zip(text.split('\n')) {
        let content = line.trim_start_matches(is_space);
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match out.last_mut() {
            Some(last) if line.starts_with(is_space) && !last.text.starts_with(is_space) => {
                last.text.push_str(line)
            }
            _ => out.push(Logical { text: line.to_owned(), line: number }),
        }
    }
    for l in &mut out {
        l.text.truncate(l.text.trim_end_matches(is_space).len());
    }
    out
}

/// White space as isspace(3) has it.
pub(crate) fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

/// Reads a configuration file of bounded size; bytes that are not UTF-8 are replaced.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    let fail = |e: &dyn std::fmt::Display| Error::new(format!("open {}: {e}", path.display()));
    let size = std::fs::metadata(path).map_err(|e| fail(&reason(&e)))?.len();
    if size > MAX_FILE {
        return Err(fail(&"file too large"));
    }
    let bytes = std::fs::read(path).map_err(|e| fail(&reason(&e)))?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// The system's words for an error, without Rust's number.
fn reason(e: &std::io::Error) -> String {
    e.raw_os_error().map_or_else(|| e.to_string(), |n| nix::errno::Errno::from_raw(n).desc().to_owned())
}

/// Splits `name = value` (postconf(5)): the parts trimmed, or Postfix's words for what is wrong.
pub fn split_definition(text: &str) -> Result<(&str, &str), String> {
    let text = text.trim_matches(is_space);
    let missing = || format!("missing '=' after attribute name: \"{text}\"");
    let name_end = text.find(|c: char| is_space(c) || c == '=').ok_or_else(missing)?;
    let (name, rest) = text.split_at(name_end);
    if name.is_empty() {
        return Err(format!("missing attribute name: \"{text}\""));
    }
    let value = rest.trim_start_matches(is_space).strip_prefix('=').ok_or_else(missing)?;
    Ok((name, value.trim_matches(is_space)))
}

impl MainCf {
    /// Reads `dir`/main.cf.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let file = dir.join("main.cf");
        Self::parse(&read(&file)?, &file)
    }

    /// Reads the text of a main.cf.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Error> {
        let mut out = Self { file: file.to_owned(), ..Self::default() };
        for Logical { text, line } in logical_lines(text) {
            if text.starts_with(is_space) {
                out.warnings.push(format!(
                    "{}: logical line must not start with whitespace: \"{}\"",
                    file.display(),
                    text.chars().take(30).collect::<String>()
                ));
                continue;
            }
            let (name, value) = split_definition(&text).map_err(|reason| Error::at(file, line, reason))?;
            out.define(name, value, line);
        }
        Ok(out)
    }

    fn define(&mut self, name: &str, value: &str, line: u32) {
        let at = self.entries.len();
        self.entries.push(Entry { name: name.to_owned(), value: value.to_owned(), line });
        let earlier = self.index.insert(name.to_owned(), at).and_then(|i| self.entries.get(i));
        if let Some(Entry { value: before, .. }) = earlier
            && before != value
        {
            let file = self.file.display();
            self.warnings.push(format!("{file}, line {line}: overriding earlier entry: {name}={before}"));
        }
    }

    /// The definition of `name` that counts.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.index.get(name).and_then(|&i| self.entries.get(i))
    }

    /// Names that are defined, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// The text of a main.cf with the same definitions.
    pub fn print(&self) -> String {
        self.entries.iter().map(|e| format!("{} = {}\n", e.name, e.value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let shown = match MainCf::parse(text, Path::new("main.cf")) {
            Err(e) => e.to_string(),
            Ok(cf) => {
                let entries = cf.entries.iter().map(|e| format!("{}:{}={}", e.line, e.name, e.value));
                entries.chain(cf.warnings.iter().map(|w| format!("! {w}"))).collect::<Vec<_>>().join("|")
            }
        };
        assert_eq!(shown, expect, "{text}");
    }

    #[test]
    fn table() {
        check("a = b", "1:a=b");
        check("a=b\n", "1:a=b");
        check(
            "# c\n\na =\n   b\n\n  # c\n  c  d \nx = y",
            "3:a=   b  c  d|8:x=y".replace("=   b", "=b").as_str(),
        );
        check("a = b # no comment", "1:a=b # no comment");
        check("a = b=c", "1:a=b=c");
        check("a =", "1:a=");
        check("a = 1\na = 2", "1:a=1|2:a=2|! main.cf, line 2: overriding earlier entry: a=1");
        check("a = 1\na = 1", "1:a=1|2:a=1");
        check("x\n", "main.cf, line 1: missing '=' after attribute name: \"x\"");
        check("\na b = c\n", "main.cf, line 2: missing '=' after attribute name: \"a b = c\"");
        check("= c\n", "main.cf, line 1: missing attribute name: \"= c\"");
        check(" a = b\nc = d", "2:c=d|! main.cf: logical line must not start with whitespace: \" a = b\"");
        check("a = b\r\nc = d\r\n", "1:a=b|2:c=d");
    }

    #[test]
    fn last_definition_counts() {
        let cf = MainCf::parse("a = 1\nb = x\na = 2\n", Path::new("")).unwrap();
        assert_eq!(cf.get("a").unwrap().value, "2");
        assert_eq!(cf.get("a").unwrap().line, 3);
        assert!(cf.get("c").is_none());
    }
}
