//! What every table type provides: the [`Table`] trait, and the two ways a table can fail.
//!
//! A failed lookup is a temporary failure for the caller (4xx, defer): it says nothing about whether
//! the key exists. Texts are Postfix's.

use std::pin::Pin;

/// A boxed future, so that [`Table`] stays object safe.
pub type Fut<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A lookup that could not be answered. Never means "not found".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table} lookup error: {reason}")]
pub struct TableError {
    /// The table as configured, `type:name`.
    pub table: String,
    /// Why, in Postfix's words: `open database /etc/x.db: No such file or directory`.
    pub reason: String,
}

/// A table that could not be opened; the text is the whole message, as Postfix words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct OpenError {
    /// The message.
    pub text: String,
}

impl OpenError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> OpenError {
        OpenError { text: text.into() }
    }
}

/// The answer to a lookup.
pub type Answer = Result<Option<Vec<u8>>, TableError>;

/// All entries of a table, key and value.
pub type Entries = Result<Vec<(Vec<u8>, Vec<u8>)>, TableError>;

/// A lookup table.
pub trait Table: Send + Sync {
    /// The table as configured, `type:name`.
    fn spec(&self) -> &str;

    /// Looks `key` up without waiting; `None` when the table must be asked with [`Table::lookup`].
    fn lookup_now(&self, key: &[u8]) -> Option<Answer>;

    /// Looks `key` up.
    fn lookup<'a>(&'a self, key: &'a [u8]) -> Fut<'a, Answer> {
        let answer = self.lookup_now(key).unwrap_or_else(|| {
            Err(TableError { table: self.spec().to_owned(), reason: "not a local table".to_owned() })
        });
        Box::pin(std::future::ready(answer))
    }

    /// True for regexp, pcre and cidr tables, which see the whole key only: callers must not ask for
    /// parts of it (no `user`, no `@domain`, no parent domains).
    fn is_pattern(&self) -> bool {
        false
    }

    /// All entries in the table's own order; `None` when the type cannot list them.
    fn entries(&self) -> Option<Entries> {
        None
    }

    /// The reason when the table could not be opened.
    fn open_error(&self) -> Option<OpenError> {
        None
    }
}
