//! PLAIN (RFC 4616) and LOGIN.

use super::{Exchange, Scene, Step};

struct Plain {
    user: String,
    /// Whom to act as, when that is somebody else.
    other: Option<String>,
}

pub(super) fn plain(_: Scene) -> Box<dyn Exchange> {
    Box::new(Plain { user: String::new(), other: None })
}

/// Authorization and login name, password.
fn read(response: &[u8]) -> Option<[String; 3]> {
    let text = std::str::from_utf8(response).ok()?;
    let mut parts = text.split('\0');
    let (authzid, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let right = parts.next().is_none() && !user.is_empty();
    right.then(|| [authzid, user, password].map(str::to_owned))
}

impl Exchange for Plain {
    fn response(&mut self, response: Option<&[u8]>) -> Step {
        let Some(response) = response else { return Step::Challenge(Vec::new()) };
        match read(response) {
            Some([authzid, user, password]) => {
                self.user.clone_from(&user);
                self.other = Some(authzid).filter(|other| !other.is_empty() && *other != user);
                Step::Verify { user, password }
            }
            None => Step::Failure { user: None },
        }
    }

    fn verified(&mut self, right: bool) -> Step {
        let user = self.user.clone();
        match (right, self.other.take()) {
            (false, _) => Step::Failure { user: Some(user) },
            (true, Some(user)) => Step::Foreign { user },
            (true, None) => Step::Success { user },
        }
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
