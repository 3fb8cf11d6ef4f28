//! Findings as text and as JSON, and the exit status of `postfix check`.

use crate::{Finding, Severity};
use serde_json::json;

/// The lines of a report, in Postfix's manner: `warning: FILE, line N: what is wrong; did you mean "x"?`.
pub fn classic(found: &[Finding]) -> Vec<String> {
    found.iter().map(|f| format!("{}: {f}", f.severity.name())).collect()
}

/// One JSON object per line: `{"file": …, "line": …, "severity": …, "rule": …, "text": …, "hint": …}`.
pub fn json(found: &[Finding]) -> Vec<String> {
    let object = |f: &Finding| {
        json!({
            "file": f.file.display().to_string(),
            "line": f.line,
            "severity": f.severity.name(),
            "rule": f.rule,
            "text": f.text,
            "hint": f.hint,
        })
    };
    found.iter().map(|f| object(f).to_string()).collect()
}

/// 0: nothing to worry about; 1: errors, or warnings when `strict`.
pub fn exit_code(found: &[Finding], strict: bool) -> u8 {
    let limit = if strict { Severity::Warning } else { Severity::Error };
    u8::from(found.iter().any(|f| f.severity >= limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity) -> Finding {
        Finding {
            file: "/etc/postfix/main.cf".into(),
            line: 3,
            rule: "bad-value",
            severity,
            text: "a \"b\"".into(),
            hint: "did you mean \"c\"?".into(),
        }
    }

    #[test]
    fn forms() {
        let found = [finding(Severity::Warning)];
        assert_eq!(classic(&found), ["warning: /etc/postfix/main.cf, line 3: a \"b\"; did you mean \"c\"?"]);
        let parsed: serde_json::Value = serde_json::from_str(&json(&found)[0]).unwrap();
        assert_eq!(parsed["line"], 3);
        assert_eq!(parsed["hint"], "did you mean \"c\"?");
    }

    #[test]
    fn codes() {
        let code = |s, strict| exit_code(&[finding(s)], strict);
        assert_eq!(exit_code(&[], true), 0);
        assert_eq!((code(Severity::Note, true), code(Severity::Warning, false)), (0, 0));
        assert_eq!((code(Severity::Warning, true), code(Severity::Error, false)), (1, 1));
    }
}
