//! SCRAM without channel binding (RFC 5802, RFC 7677).

use super::{Credentials, Exchange, Nonsense};
use crate::hash::{Sha, same};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::num::NonZeroU32;

/// More would keep us busy for seconds.
const MAX_ITERATIONS: u32 = 600_000;

enum State {
    First,
    /// The server's signature that must come.
    Proved(Vec<u8>),
    Over,
}

struct Scram {
    credentials: Credentials,
    sha: Sha,
    state: State,
}

pub(super) fn start(credentials: Credentials, sha: Sha) -> Box<dyn Exchange> {
    Box::new(Scram { credentials, sha, state: State::First })
}

/// The attributes of a message.
pub(crate) fn attribute(text: &str, name: char) -> Option<&str> {
    text.split(',').find_map(|a| a.strip_prefix(name)?.strip_prefix('='))
}

impl Scram {
    fn bare(&self) -> String {
        let user = self.credentials.user.replace('=', "=3D").replace(',', "=2C");
        format!("n={user},r={}", self.credentials.nonce)
    }

    fn prove(&mut self, first: &str) -> Option<Vec<u8>> {
        let nonce = attribute(first, 'r').filter(|r| r.starts_with(&self.credentials.nonce))?;
        let salt = STANDARD.decode(attribute(first, 's')?).ok()?;
        let iterations: u32 = attribute(first, 'i')?.parse().ok()?;
        let iterations = NonZeroU32::new(iterations).filter(|n| n.get() <= MAX_ITERATIONS)?;
        let sha = self.sha;
        let salted = sha.salted(self.credentials.password.as_bytes(), &salt, iterations);
        let client_key = sha.hmac(&salted, b"Client Key");
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{first},{without_proof}", self.bare());
        let signature = sha.hmac(&sha.digest(&client_key), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server_key = sha.hmac(&salted, b"Server Key");
        self.state = State::Proved(sha.hmac(&server_key, message.as_bytes()));
        Some(format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes())
    }
}

impl Exchange for Scram {
    fn initial(&mut self) -> Option<Vec<u8>> {
        Some(format!("n,,{}", self.bare()).into_bytes())
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Nonsense> {
        let text = std::str::from_utf8(challenge).map_err(|_| Nonsense)?;
        match std::mem::replace(&mut self.state, State::Over) {
            State::First if text.is_empty() => {
                self.state = State::First;
                self.initial().ok_or(Nonsense)
            }
            State::First => self.prove(text).ok_or(Nonsense),
            State::Proved(want) => {
                let got = attribute(text, 'v').and_then(|v| STANDARD.decode(v).ok()).unwrap_or_default();
                if same(&got, &want) { Ok(Vec::new()) } else { Err(Nonsense) }
            }
            State::Over => Err(Nonsense),
        }
    }
}
