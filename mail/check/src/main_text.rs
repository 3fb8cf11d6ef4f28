//! A configuration file as text: its lines, where a word of a definition stands, and a form that can be parsed when the
//! file itself cannot.

use crate::{Finding, Severity, comment};
use base_conf::{
    grammar::{self, Grammar},
    main_cf::{logical_lines, split_definition},
};
use std::path::{Path, PathBuf};

/// A text with its lines.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// Where it was read.
    pub file: PathBuf,
    /// Physical lines.
    pub lines: Vec<String>,
}

impl Text {
    /// Takes a text apart.
    pub fn new(file: &Path, text: &str) -> Self {
        Self {
            file: file.to_owned(),
            lines: text.split('\n').map(|l| l.trim_end_matches('\r').to_owned()).collect(),
        }
    }

    /// A physical line, from 1.
    pub fn line(&self, number: u32) -> &str {
        let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        index.and_then(|i| self.lines.get(i)).map_or("", String::as_str)
    }

    /// The physical lines of the logical line that begins at `first`, comments left out.
    pub fn logical(&self, first: u32) -> impl Iterator<Item = (u32, &str)> {
        let skip = usize::try_from(first).unwrap_or(1).saturating_sub(1);
        let numbered = (1_u32..).zip(&self.lines).skip(skip);
        let own = numbered.take_while(move |(n, l)| *n == first || is_continuation(l) || is_nothing(l));
        own.filter(|(_, l)| !is_nothing(l)).map(|(n, l)| (n, l.as_str()))
    }

    /// The line of `word` in the logical line that begins at `first`; `first` when it does not stand there as it is.
    pub fn line_of(&self, first: u32, word: &str) -> u32 {
        self.logical(first).find(|(_, l)| contains_word(l, word)).map_or(first, |(n, _)| n)
    }

    /// The whole text.
    pub fn join(&self) -> String {
        self.lines.join("\n")
    }
}

fn is_continuation(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_whitespace())
}

fn is_nothing(line: &str) -> bool {
    let text = line.trim_start();
    text.is_empty() || text.starts_with('#')
}

/// Whether `word` stands in `line` with no letter or digit beside it.
fn contains_word(line: &str, word: &str) -> bool {
    let beside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|l| l.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|l| l.chars().next());
        !beside(before) && !beside(after)
    })
}

/// A main.cf that can be parsed: lines that are no definitions are taken as continuations where that is what they look
/// like, else as comments. With what was wrong.
pub fn repair(text: &mut Text, rule: &'static str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut above: Option<(String, String)> = None;
    for logical in logical_lines(&text.join()) {
        let first = text.line(logical.line).trim_end().to_owned();
        let reason = match split_definition(&logical.text) {
            Ok((name, _)) if above.as_ref().is_some_and(|(a, v)| is_variable(name, a, v)) => {
                format!("\"{name}=...\" is no parameter")
            }
            Ok((name, value)) if !is_continuation(&logical.text) => {
                above = Some((name.to_owned(), value.to_owned()));
                continue;
            }
            Ok(_) => "a logical line must not start with white space".to_owned(),
            // The first line alone says what is wrong, unless it is fine alone.
            Err(reason) => split_definition(&first).err().unwrap_or(reason),
        };
        let continues = above.as_ref().is_some_and(|(name, value)| continues(name, value, &logical.text));
        let hint = match &above {
            Some((name, _)) if continues => {
                format!("to continue \"{name}\", the line must start with white space")
            }
            _ if comment_like(&logical.text) => "a comment is a line that starts with \"#\"".to_owned(),
            _ => "a definition is \"name = value\"; a comment is a line that starts with \"#\"".to_owned(),
        };
        found.push(Finding {
            file: text.file.clone(),
            line: logical.line,
            rule,
            severity: Severity::Error,
            text: reason,
            hint,
        });
        let index = usize::try_from(logical.line).unwrap_or(1).saturating_sub(1);
        // What follows a comment that is none still continues the definition above it.
        let whole = !comment_like(&logical.text);
        let span = if whole { text.logical(logical.line).count() } else { 1 };
        if let (true, Some((_, value))) = (continues, above.as_mut()) {
            value.push_str(&format!(" {}", logical.text));
            prefix(text, index, 1, " ");
        } else {
            prefix(text, index, span, "#");
        }
    }
    found
}

/// Puts a character in front of `count` lines that say something.
fn prefix(text: &mut Text, from: usize, count: usize, mark: &str) {
    let lines = text.lines.iter_mut().skip(from).filter(|l| !is_nothing(l));
    lines.take(count).for_each(|l| l.insert_str(0, mark));
}

/// An environment variable of a command that was torn apart: `debugger_command =`, then `PATH=...`.
fn is_variable(name: &str, above: &str, value: &str) -> bool {
    let upper = name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    upper && value.is_empty() && above.ends_with("_command")
}

fn comment_like(line: &str) -> bool {
    ["//", ";", "--", "/*", "\u{2190}", "\u{203b}", "(", "["].iter().any(|m| line.trim_start().starts_with(m))
}

/// Whether a line without `=` looks like the rest of the definition above it.
fn continues(name: &str, value: &str, line: &str) -> bool {
    if comment_like(line) {
        return false;
    }
    let value = comment::without(value).trim_end();
    let list = matches!(
        grammar::of(name),
        Some(Grammar::Restrictions | Grammar::Networks | Grammar::Domains | Grammar::Tables)
    );
    value.is_empty() || value.ends_with(',') || list || name.ends_with("_command")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str, hints: &[&str]) {
        let mut t = Text::new(Path::new("main.cf"), text);
        let found = repair(&mut t, "r");
        assert_eq!(t.join(), expect);
        let got: Vec<_> = found.iter().map(|f| format!("{}: {}", f.line, f.hint)).collect();
        assert_eq!(got, hints);
    }

    #[test]
    fn repaired() {
        check("a = b\nc = d", "a = b\nc = d", &[]);
        check(
            "smtpd_client_restrictions = a,\nreject_rbl_client x,\npermit\nb = c",
            "smtpd_client_restrictions = a,\n reject_rbl_client x,\n permit\nb = c",
            &[
                "2: to continue \"smtpd_client_restrictions\", the line must start with white space",
                "3: to continue \"smtpd_client_restrictions\", the line must start with white space",
            ],
        );
        check("a = b\n// c\n", "a = b\n#// c\n", &["2: a comment is a line that starts with \"#\""]);
        check(
            "a = b\nnonsense\n  more",
            "a = b\n#nonsense\n#  more",
            &["2: a definition is \"name = value\"; a comment is a line that starts with \"#\""],
        );
    }

    #[test]
    fn lines_of_words() {
        let t = Text::new(Path::new("main.cf"), "a = x,\n# y\n   y,\n  z\nb = y");
        assert_eq!((t.line_of(1, "y"), t.line_of(1, "q"), t.line_of(5, "y")), (3, 1, 5));
        assert!(!contains_word("reject_rbl", "reject"));
    }
}
