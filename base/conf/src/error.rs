//! What can be wrong with the configuration: one value with file, line and reason.
//!
//! `text` alone is what Postfix writes to its log after `fatal: `; `Display` puts file and line in front when known.

use std::{fmt, path::PathBuf};

/// A configuration error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The file; empty when the value comes from a default or from code.
    pub file: PathBuf,
    /// Line, from 1; 0 when not known.
    pub line: u32,
    /// The reason, in Postfix's words where it has some.
    pub text: String,
}

impl Error {
    /// An error without a place.
    pub fn new(text: impl Into<String>) -> Self {
        Self { file: PathBuf::new(), line: 0, text: text.into() }
    }

    /// An error at a place.
    pub fn at(file: impl Into<PathBuf>, line: u32, text: impl Into<String>) -> Self {
        Self { file: file.into(), line, text: text.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_os_str().is_empty(), self.line) {
            (true, _) => f.write_str(&self.text),
            (false, 0) => write!(f, "{}: {}", self.file.display(), self.text),
            (false, line) => write!(f, "{}, line {line}: {}", self.file.display(), self.text),
        }
    }
}
