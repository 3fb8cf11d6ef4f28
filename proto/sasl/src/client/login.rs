//! LOGIN (draft-murchison-sasl-login): the name, then the password, whatever the server asks.

use super::{Credentials, Exchange, Nonsense};

struct Login {
    credentials: Credentials,
    asked: u32,
}

pub(super) fn start(credentials: Credentials) -> Box<dyn Exchange> {
    Box::new(Login { credentials, asked: 0 })
}

impl Exchange for Login {
    fn initial(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn answer(&mut self, _: &[u8]) -> Result<Vec<u8>, Nonsense> {
        self.asked += 1;
        match self.asked {
            1 => Ok(self.credentials.user.clone().into_bytes()),
            2 => Ok(self.credentials.password.clone().into_bytes()),
            _ => Err(Nonsense),
        }
    }
}
