//! CRAM-MD5 (RFC 2195).

use super::{Credentials, Exchange, Nonsense};
use crate::hash::{hex, hmac_md5};

struct CramMd5(Credentials);

pub(super) fn start(c: Credentials) -> Box<dyn Exchange> {
    Box::new(CramMd5(c))
}

impl Exchange for CramMd5 {
    fn initial(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Nonsense> {
        let mac = hmac_md5(self.0.password.as_bytes(), challenge);
        Ok(format!("{} {}", self.0.user, hex(&mac)).into_bytes())
    }
}
