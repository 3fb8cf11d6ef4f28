//! Why there is no certificate, in words for the log.

use crate::Challenge;
use base_https::{HttpsError, Response};
use serde_json::Value;
use std::path::PathBuf;

/// The most that is shown of a server's words, in characters.
const MAX_WORDS: usize = 300;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcmeError {
    /// The server cannot be asked.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// The server's own words (RFC 7807).
    #[error("{detail} ({kind})")]
    Problem {
        /// `urn:ietf:params:acme:error:` and a word.
        kind: String,
        /// A sentence.
        detail: String,
    },
    /// Something is missing in what the server says.
    #[error("the server's answer has no \"{0}\"")]
    Missing(&'static str),
    /// The server says what makes no sense.
    #[error("the server's answer makes no sense: {0}")]
    Odd(&'static str),
    /// It wants another proof.
    #[error("the server does not offer {}", .0.name())]
    NoChallenge(Challenge),
    /// The file of authorities is wrong.
    #[error("tls_acme_CAfile: {0}")]
    Authorities(String),
    /// A key cannot be made or read.
    #[error("bad key")]
    Key,
    /// A file cannot be read or written.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
}

impl AcmeError {
    /// Of a response that is none.
    pub(crate) fn of(response: &Response) -> Self {
        match serde_json::from_slice::<Value>(&response.body) {
            Ok(value) if value["type"].is_string() => Self::problem(&value),
            _ => Self::Problem { kind: format!("HTTP {}", response.status), detail: "refused".to_owned() },
        }
    }

    /// Of an order or authorization that came to nothing: what its challenges say.
    pub(crate) fn refused(value: &Value) -> Self {
        let challenges = value["challenges"].as_array().map(Vec::as_slice).unwrap_or_default();
        let said = challenges.iter().map(|c| &c["error"]).chain([&value["error"]]).find(|e| e.is_object());
        match said {
            Some(problem) => Self::problem(problem),
            None => Self::Odd("refused without a reason"),
        }
    }

    fn problem(value: &Value) -> Self {
        let words = |name: &str| clean(value[name].as_str().unwrap_or_default());
        Self::Problem { kind: words("type"), detail: words("detail") }
    }

    pub(crate) fn is_bad_nonce(&self) -> bool {
        matches!(self, Self::Problem { kind, .. } if kind.ends_with(":badNonce"))
    }
}

/// For the log: one line, bounded.
fn clean(text: &str) -> String {
    text.chars().take(MAX_WORDS).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words() {
        let order = json!({ "status": "invalid", "challenges": [
            { "type": "x" }, { "error": { "type": "urn:t:dns", "detail": "no\nsuch name" } } ] });
        assert_eq!(AcmeError::refused(&order).to_string(), "no?such name (urn:t:dns)");
        let page = Response { status: 502, body: b"<html>".to_vec(), ..Response::default() };
        assert_eq!(AcmeError::of(&page).to_string(), "refused (HTTP 502)");
        let nonce =
            Response { status: 400, body: br#"{"type":"urn:x:badNonce"}"#.to_vec(), ..Response::default() };
        assert!(AcmeError::of(&nonce).is_bad_nonce());
    }
}
