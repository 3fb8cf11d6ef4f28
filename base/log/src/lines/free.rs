//! Free text: warnings and whatever has no record of its own.

use super::Line;
use crate::Severity;

/// Any text.
pub struct Free {
    /// How grave.
    pub severity: Severity,
    /// The text.
    pub text: String,
}

impl Line for Free {
    fn event(&self) -> &'static str {
        self.severity.word()
    }

    fn text(&self, out: &mut String) {
        out.push_str(&self.text);
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str, &str)) {
        each("text", &self.text);
    }

    fn severity(&self) -> Severity {
        self.severity
    }
}
