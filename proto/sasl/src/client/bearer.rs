//! OAUTHBEARER (RFC 7628) and XOAUTH2: the password is an access token.
//!
//! A server that refuses sends the reason as a challenge; the answer to it lets the server say no in the usual way.

use super::{Credentials, Exchange, Nonsense};

struct Bearer {
    first: Vec<u8>,
    then: &'static [u8],
}

pub(super) fn oauthbearer(c: Credentials) -> Box<dyn Exchange> {
    let user = c.user.replace('=', "=3D").replace(',', "=2C");
    let first = format!("n,a={user},\x01host={}\x01auth=Bearer {}\x01\x01", c.host, c.password);
    Box::new(Bearer { first: first.into_bytes(), then: b"\x01" })
}

pub(super) fn xoauth2(c: Credentials) -> Box<dyn Exchange> {
    let first = format!("user={}\x01auth=Bearer {}\x01\x01", c.user, c.password);
    Box::new(Bearer { first: first.into_bytes(), then: b"" })
}

impl Exchange for Bearer {
    fn initial(&mut self) -> Option<Vec<u8>> {
        Some(self.first.clone())
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Nonsense> {
        if challenge.is_empty() { Ok(self.first.clone()) } else { Ok(self.then.to_vec()) }
    }
}
