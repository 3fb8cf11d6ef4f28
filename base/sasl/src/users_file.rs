//! The file of `smtpd_sasl_type = internal` as text that is edited: who is in it, users added, changed and taken out.
//!
//! Lines that are not a changed user's stay as they are, comments and unknown schemes included. [`Internal::line`] makes the
//! lines; the `users` tool writes the file.

use crate::{Internal, Keep};

/// The longest name, in bytes.
const MAX_NAME: usize = 255;

/// The content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsersFile {
    lines: Vec<String>,
}

/// A name that cannot stand in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad user name \"{0}\": no colon, space, control character or leading #, at most {MAX_NAME} bytes")]
pub struct BadName(pub String);

/// Checks a name.
pub fn check_name(name: &str) -> Result<(), BadName> {
    let odd = |c: char| c == ':' || c.is_whitespace() || c.is_control();
    match name.is_empty() || name.len() > MAX_NAME || name.starts_with('#') || name.contains(odd) {
        true => Err(BadName(name.to_owned())),
        false => Ok(()),
    }
}

fn name_of(line: &str) -> Option<&str> {
    line.split_once(':').map(|(name, _)| name).filter(|name| check_name(name).is_ok())
}

impl UsersFile {
    /// Reads the text.
    pub fn parse(text: &str) -> Self {
        Self { lines: text.lines().map(str::to_owned).collect() }
    }

    /// The text.
    pub fn write(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Everybody, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| name_of(line))
    }

    /// Whether the user is there.
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|n| n == name)
    }

    /// Sets the password of a user, new or not.
    pub fn set(&mut self, name: &str, password: &str, keep: Keep) -> Result<(), BadName> {
        check_name(name)?;
        let new = Internal::line(name, password, keep).trim_end().to_owned();
        match self.lines.iter_mut().find(|line| name_of(line) == Some(name)) {
            Some(line) => *line = new,
            None => self.lines.push(new),
        }
        Ok(())
    }

    /// Takes a user out; false: there was none.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| name_of(line) != Some(name));
        self.lines.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_and_go() {
        let mut file = UsersFile::parse("# ours: all of them\nalice:other$1\n\nbob:x\n");
        file.set("carol", "pw", Keep::Scram).expect("a name");
        file.set("alice", "secret", Keep::Scram).expect("a name");
        assert_eq!(file.names().collect::<Vec<_>>(), ["alice", "bob", "carol"]);
        let text = file.write();
        assert!(text.starts_with("# ours: all of them\nalice:SCRAM-SHA-256$4096:"), "{text}");
        assert!(text.contains("\n\nbob:x\ncarol:SCRAM-SHA-256$"), "{text}");
        assert!(!text.contains("secret"));
        assert!(file.remove("bob") && !file.remove("bob") && file.has("alice"));
        assert_eq!(UsersFile::parse(&file.write()), file);
        for bad in ["", "a:b", "a b", "#a", "a\n", &"x".repeat(256)] {
            assert!(file.set(bad, "pw", Keep::Scram).is_err(), "{bad:?}");
        }
    }
}
