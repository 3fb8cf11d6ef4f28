//! The password database of Cyrus SASL, /etc/sasldb2 (saslpasswd2(8)): user, realm, and the password as it is.
//!
//! A Berkeley DB file that others made is read; what we write is our own format behind the same name.

use base_tables::pairs::{self, Pair};

/// Where it is.
pub const DEFAULT_PATH: &str = "/etc/sasldb2";

const PROPERTY: &str = "userPassword";

/// A user of a realm.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Realm.
    pub realm: String,
    /// What is kept: `userPassword` …
    pub property: String,
}

/// The file is no such database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown or damaged password database")]
pub struct BadDatabase;

/// The content of a database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Passwords {
    entries: Vec<Pair>,
}

fn key(name: &str, realm: &str, property: &str) -> Vec<u8> {
    format!("{name}\0{realm}\0{property}").into_bytes()
}

impl Passwords {
    /// Reads a file; an empty one holds nobody.
    pub fn read(bytes: &[u8]) -> Result<Self, BadDatabase> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        pairs::read(bytes).map(|entries| Self { entries }).map_err(|_| BadDatabase)
    }

    /// The file.
    pub fn write(&self) -> Vec<u8> {
        pairs::write(&self.entries)
    }

    /// The password of a user.
    pub fn password(&self, name: &str, realm: &str) -> Option<String> {
        let key = key(name, realm, PROPERTY);
        let (_, value) = self.entries.iter().find(|(k, _)| *k == key)?;
        String::from_utf8(value.clone()).ok()
    }

    /// Sets a password.
    pub fn set(&mut self, name: &str, realm: &str, password: &str) {
        self.remove(name, realm);
        self.entries.push((key(name, realm, PROPERTY), password.as_bytes().to_vec()));
    }

    /// Takes a user out; false: there was none.
    pub fn remove(&mut self, name: &str, realm: &str) -> bool {
        let start = format!("{name}\0{realm}\0").into_bytes();
        let before = self.entries.len();
        self.entries.retain(|(k, _)| !k.starts_with(&start));
        self.entries.len() < before
    }

    /// Everybody, in the order of the file.
    pub fn users(&self) -> Vec<User> {
        let of = |(k, _): &Pair| {
            let text = String::from_utf8_lossy(k).into_owned();
            let mut parts = text.splitn(3, '\0').map(str::to_owned);
            Some(User { name: parts.next()?, realm: parts.next()?, property: parts.next()? })
        };
        self.entries.iter().filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_and_go() {
        let mut p = Passwords::default();
        p.set("alice", "example.com", "one");
        p.set("bob", "example.com", "two");
        p.set("alice", "example.com", "three");
        let mut p = Passwords::read(&p.write()).expect("our own file");
        assert_eq!(p.password("alice", "example.com").as_deref(), Some("three"));
        assert_eq!(p.password("alice", "other"), None);
        assert_eq!(p.users().len(), 2);
        assert!(p.remove("alice", "example.com") && !p.remove("alice", "example.com"));
        assert_eq!(Passwords::read(b"junk"), Err(BadDatabase));
    }
}
