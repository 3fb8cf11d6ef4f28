//! One mistake: where it is, how bad it is, what is wrong, and what was probably meant.

use std::{fmt, path::PathBuf};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; shown on request.
    Note,
    /// The setting does not do what its author thinks.
    Warning,
    /// A service will not run, mail is refused or lost, or strangers may relay.
    Error,
}

impl Severity {
    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A mistake that was found. Sorts by file and line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file; empty when it is about none.
    pub file: PathBuf,
    /// Line, from 1; 0 when it is about the whole file.
    pub line: u32,
    /// The rule's name.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub text: String,
    /// What was probably meant: the rest of "did you mean …?", or an advice. Empty when nobody knows.
    pub hint: String,
}

impl Finding {
    /// With the word that was probably meant.
    pub fn meant(self, word: &str) -> Self {
        self.hint(format!("did you mean \"{word}\"?"))
    }

    /// With the word that was probably meant, if there is one.
    pub fn maybe(self, word: Option<&str>) -> Self {
        match word {
            Some(word) => self.meant(word),
            None => self,
        }
    }

    /// With an advice.
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = text.into();
        self
    }

    /// With another severity.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.as_os_str().is_empty() {
            write!(f, "{}", self.file.display())?;
            if self.line > 0 {
                write!(f, ", line {}", self.line)?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.text)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint) }
    }
}
