//! SCRAM without channel binding (RFC 5802, RFC 7677). A user that does not exist is asked for a proof like any other.

use super::{Exchange, Scene, ScramSecret, Secret, Step};
use crate::{
    client::scram_attribute as attribute,
    hash::{Sha, same},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::num::NonZeroU32;

/// For secrets that are kept as passwords.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

enum State {
    Start,
    /// The user was asked for.
    Asked {
        user: String,
        bare: String,
    },
    /// The salt was sent.
    Salted {
        user: String,
        bare: String,
        first: String,
        secret: Option<ScramSecret>,
    },
    /// Our proof was sent.
    Proved {
        user: String,
    },
    Over,
}

struct Scram {
    scene: Scene,
    sha: Sha,
    state: State,
    header: String,
}

pub(super) fn start(scene: Scene, sha: Sha) -> Box<dyn Exchange> {
    Box::new(Scram { scene, sha, state: State::Start, header: String::new() })
}

impl Scram {
    fn first(&mut self, text: &str) -> Option<Step> {
        // n: no channel binding; y: the client thinks that we have none, which is so.
        let mut parts = text.splitn(3, ',');
        let (flag, authzid, bare) = (parts.next()?, parts.next()?, parts.next()?);
        if !matches!(flag, "n" | "y") {
            return None;
        }
        let user = attribute(bare, 'n')?.replace("=2C", ",").replace("=3D", "=");
        let other = authzid.strip_prefix("a=").is_some_and(|a| a != user);
        if user.is_empty() || other || attribute(bare, 'm').is_some() {
            return None;
        }
        self.header = format!("{flag},{authzid},");
        self.state = State::Asked { user: user.clone(), bare: bare.to_owned() };
        Some(Step::Secret { user })
    }

    fn last(&mut self, text: &str, state: (String, String, String, Option<ScramSecret>)) -> Option<Step> {
        let (user, bare, first, secret) = state;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let proof = STANDARD.decode(proof).ok()?;
        let secret = secret?;
        let binding = STANDARD.decode(attribute(without_proof, 'c')?).ok()?;
        let nonce = attribute(without_proof, 'r')?;
        if binding != self.header.as_bytes() || Some(nonce) != attribute(&first, 'r') {
            return None;
        }
        let message = format!("{bare},{first},{without_proof}");
        let signature = self.sha.hmac(&secret.stored_key, message.as_bytes());
        if proof.len() != signature.len() {
            return None;
        }
        let key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        if !same(&self.sha.digest(&key), &secret.stored_key) {
            return None;
        }
        let ours = STANDARD.encode(self.sha.hmac(&secret.server_key, message.as_bytes()));
        self.state = State::Proved { user };
        Some(Step::Challenge(format!("v={ours}").into_bytes()))
    }
}

impl Exchange for Scram {
    fn response(&mut self, response: Option<&[u8]>) -> Step {
        let Some(response) = response else { return Step::Challenge(Vec::new()) };
        let text = String::from_utf8_lossy(response).into_owned();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Start => self.first(&text).unwrap_or(Step::Failure { user: None }),
            State::Salted { user, bare, first, secret } => {
                let name = Some(user.clone());
                self.last(&text, (user, bare, first, secret)).unwrap_or(Step::Failure { user: name })
            }
            State::Proved { user } => Step::Success { user },
            State::Asked { .. } | State::Over => Step::Failure { user: None },
        }
    }

    fn secret(&mut self, secret: Option<Secret>) -> Step {
        let State::Asked { user, bare } = std::mem::replace(&mut self.state, State::Over) else {
            return Step::Failure { user: None };
        };
        let ours =
            || self.sha.hmac(&self.scene.key, user.as_bytes()).into_iter().take(16).collect::<Vec<u8>>();
        let secret = match secret {
            Some(Secret::Scram(s)) if s.sha == self.sha => Some(s),
            Some(Secret::Password(p)) => Some(ScramSecret::new(self.sha, &p, ours(), ITERATIONS)),
            _ => None,
        };
        let salt = secret.as_ref().map_or_else(ours, |s| s.salt.clone());
        let iterations = secret.as_ref().map_or(ITERATIONS, |s| s.iterations);
        let nonce = format!("{}{}", attribute(&bare, 'r').unwrap_or_default(), self.scene.nonce);
        let first = format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt));
        self.state = State::Salted { user, bare, first: first.clone(), secret };
        Step::Challenge(first.into_bytes())
    }
}
