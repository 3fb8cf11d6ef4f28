//! CRAM-MD5 (RFC 2195) and DIGEST-MD5 (RFC 2831): the password is proved, and must be known as it is.

use super::{Exchange, Scene, Secret, Step};
use crate::{
    digest::{Response, fields, quoted},
    hash::{hex, hmac_md5, same},
};

struct CramMd5 {
    challenge: String,
    claim: Option<(String, String)>,
}

pub(super) fn cram_md5(s: Scene) -> Box<dyn Exchange> {
    Box::new(CramMd5 { challenge: format!("<{}.{}@{}>", s.nonce, s.now, s.host), claim: None })
}

impl Exchange for CramMd5 {
    fn response(&mut self, response: Option<&[u8]>) -> Step {
        let Some(response) = response else { return Step::Challenge(self.challenge.clone().into_bytes()) };
        let text = String::from_utf8_lossy(response).into_owned();
        let Some((user, mac)) = text.rsplit_once(' ') else { return Step::Failure { user: None } };
        self.claim = Some((user.to_owned(), mac.to_ascii_lowercase()));
        Step::Secret { user: user.to_owned() }
    }

    fn secret(&mut self, secret: Option<Secret>) -> Step {
        let Some((user, mac)) = self.claim.take() else { return Step::Failure { user: None } };
        let right = matches!(secret, Some(Secret::Password(p))
            if same(hex(&hmac_md5(p.as_bytes(), self.challenge.as_bytes())).as_bytes(), mac.as_bytes()));
        if right { Step::Success { user } } else { Step::Failure { user: Some(user) } }
    }
}

struct DigestMd5 {
    scene: Scene,
    claim: Vec<(String, String)>,
    user: Option<String>,
}

pub(super) fn digest_md5(scene: Scene) -> Box<dyn Exchange> {
    Box::new(DigestMd5 { scene, claim: Vec::new(), user: None })
}

impl DigestMd5 {
    fn get(&self, name: &str) -> &str {
        self.claim.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// Whose password it must be.
    fn with_realm(&self) -> String {
        let (user, realm) = (self.get("username"), self.get("realm"));
        if realm.is_empty() || user.contains('@') { user.to_owned() } else { format!("{user}@{realm}") }
    }

    /// The parts that do not depend on the password are right.
    fn is_ours(&self) -> bool {
        let qop = self.get("qop");
        self.get("nonce") == self.scene.nonce
            && self.get("nc") == "00000001"
            && (qop.is_empty() || qop == "auth")
            && !self.get("cnonce").is_empty()
    }
}

impl Exchange for DigestMd5 {
    fn response(&mut self, response: Option<&[u8]>) -> Step {
        let Some(response) = response else {
            let (realm, nonce) = (quoted(&self.scene.realm), quoted(&self.scene.nonce));
            let text = format!("realm={realm},nonce={nonce},qop=\"auth\",charset=utf-8,algorithm=md5-sess");
            return Step::Challenge(text.into_bytes());
        };
        if let Some(user) = self.user.clone() {
            // The empty answer to our own proof.
            return Step::Success { user };
        }
        self.claim = std::str::from_utf8(response).ok().and_then(fields).unwrap_or_default();
        let user = self.get("username").to_owned();
        if user.is_empty() || !self.is_ours() {
            return Step::Failure { user: Some(user).filter(|u| !u.is_empty()) };
        }
        Step::Secret { user: self.with_realm() }
    }

    fn secret(&mut self, secret: Option<Secret>) -> Step {
        let user = self.get("username").to_owned();
        let Some(Secret::Password(password)) = secret else { return Step::Failure { user: Some(user) } };
        let r = Response {
            user: self.get("username"),
            realm: self.get("realm"),
            password: &password,
            nonce: self.get("nonce"),
            cnonce: self.get("cnonce"),
            nc: self.get("nc"),
            uri: self.get("digest-uri"),
        };
        if !same(r.client().as_bytes(), self.get("response").as_bytes()) {
            return Step::Failure { user: Some(user) };
        }
        let proof = format!("rspauth={}", r.server());
        // In our own realm a name stands alone, as with the other mechanisms.
        self.user = Some(if self.get("realm") == self.scene.realm { user } else { self.with_realm() });
        Step::Challenge(proof.into_bytes())
    }
}
