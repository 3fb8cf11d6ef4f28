//! PLAIN (RFC 4616).

use super::{Credentials, Exchange, Nonsense};

struct Plain(Credentials);

pub(super) fn start(c: Credentials) -> Box<dyn Exchange> {
    Box::new(Plain(c))
}

impl Exchange for Plain {
    fn initial(&mut self) -> Option<Vec<u8>> {
        let authzid = if self.0.authzid { self.0.user.as_str() } else { "" };
        Some(format!("{authzid}\0{}\0{}", self.0.user, self.0.password).into_bytes())
    }

    fn answer(&mut self, _: &[u8]) -> Result<Vec<u8>, Nonsense> {
        self.initial().ok_or(Nonsense)
    }
}
