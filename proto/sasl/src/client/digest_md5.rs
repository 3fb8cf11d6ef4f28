//! DIGEST-MD5 with `qop=auth` (RFC 2831).

use super::{Credentials, Exchange, Nonsense};
use crate::digest::{self, Response, quoted};

enum State {
    First,
    /// `rspauth` that must come.
    Sent(String),
}

struct DigestMd5 {
    credentials: Credentials,
    state: State,
}

pub(super) fn start(credentials: Credentials) -> Box<dyn Exchange> {
    Box::new(DigestMd5 { credentials, state: State::First })
}

impl DigestMd5 {
    fn respond(&mut self, challenge: &str) -> Option<Vec<u8>> {
        let fields = digest::fields(challenge)?;
        let get = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let nonce = get("nonce")?;
        let realm = get("realm").unwrap_or_default();
        let c = &self.credentials;
        let uri = format!("{}/{}", c.service, c.host);
        let r = Response {
            user: &c.user,
            realm,
            password: &c.password,
            nonce,
            cnonce: &c.nonce,
            nc: "00000001",
            uri: &uri,
        };
        let mut out = format!(
            "username={},realm={},nonce={},cnonce={},nc=00000001,qop=auth,digest-uri={},response={}",
            quoted(&c.user),
            quoted(realm),
            quoted(nonce),
            quoted(&c.nonce),
            quoted(&uri),
            r.client()
        );
        if get("charset") == Some("utf-8") {
            out.push_str(",charset=utf-8");
        }
        self.state = State::Sent(r.server());
        Some(out.into_bytes())
    }
}

impl Exchange for DigestMd5 {
    fn initial(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Nonsense> {
        let text = std::str::from_utf8(challenge).map_err(|_| Nonsense)?;
        match &self.state {
            State::First => self.respond(text).ok_or(Nonsense),
            State::Sent(want) if text == format!("rspauth={want}") => Ok(Vec::new()),
            State::Sent(_) => Err(Nonsense),
        }
    }
}
