//! PLAIN (RFC 4616) and LOGIN.

use super::{Exchange, Scene, Step};

struct Plain {
    user: String,
}

pub(super) fn plain(_: Scene) -> Box<dyn Exchange> {
    Box::new(Plain { user: String::new() })
}

/// Authorization and login name, password. To act as somebody else is nobody allowed.
fn read(response: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(response).ok()?;
    let mut parts = text.split('\0');
    let (authzid, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let right = parts.next().is_none() && !user.is_empty() && (authzid.is_empty() || authzid == user);
    right.then(|| (user.to_owned(), password.to_owned()))
}

impl Exchange for Plain {
    fn response(&mut self, response: Option<&[u8]>) -> Step {
        let Some(response) = response else { return Step::Challenge(Vec::new()) };
        match read(response) {
            Some((user, password)) => {
                self.user.clone_from(&user);
                Step::Verify { user, password }
            }
            None => Step::Failure { user: None },
        }
    }

    fn verified(&mut self, right: bool) -> Step {
        let user = self.user.clone();
        if right { Step::Success { user } } else { Step::Failure { user: Some(user) } }
    }
}

struct Login {
    user: Option<String>,
}

pub(super) fn login(_: Scene) -> Box<dyn Exchange> {
    Box::new(Login { user: None })
}

impl Exchange for Login {
    fn response(&mut self, response: Option<&[u8]>) -> Step {
        let Some(response) = response else { return Step::Challenge(b"Username:".to_vec()) };
        let Ok(text) = std::str::from_utf8(response) else {
            return Step::Failure { user: self.user.clone() };
        };
        match &self.user {
            None if text.is_empty() => Step::Failure { user: None },
            None => {
                self.user = Some(text.to_owned());
                Step::Challenge(b"Password:".to_vec())
            }
            Some(user) => Step::Verify { user: user.clone(), password: text.to_owned() },
        }
    }

    fn verified(&mut self, right: bool) -> Step {
        match (right, self.user.clone()) {
            (true, Some(user)) => Step::Success { user },
            (_, user) => Step::Failure { user },
        }
    }
}
