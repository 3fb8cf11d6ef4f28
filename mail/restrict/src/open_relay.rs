//! The server must not run as an open relay by oversight (smtpd(8), SMTPD_ACCESS_README).

use crate::{
    ListName, Restrict,
    list::{Element, List},
};

/// Neither relay nor recipient restrictions refuse anybody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working instance of: \
     reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains"
)]
pub struct OpenRelay;

/// An argument of a restriction that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadArgument(String);

impl Restrict {
    /// Whether somebody is refused at all. The caller logs the error as `fatal:` and does not serve.
    pub fn check_open_relay(&self) -> Result<(), OpenRelay> {
        let lists = [ListName::Relay, ListName::Recipient];
        let closed = lists.into_iter().any(|name| self.is_closed(&self.lists.list(name), 0));
        if closed { Ok(()) } else { Err(OpenRelay) }
    }

    /// Mistakes in restrictions that no server can run with: what the log says after `fatal:`.
    pub fn check_arguments(&self) -> Result<(), BadArgument> {
        self.lists.fault().map_or(Ok(()), |text| Err(BadArgument(text.to_owned())))
    }

    fn is_closed(&self, list: &List, depth: u32) -> bool {
        let mut warn_only = false;
        list.iter().any(|e| {
            let only_warns = std::mem::replace(&mut warn_only, matches!(e, Element::WarnIfReject));
            match e {
                Element::Rule(rule, _) => rule.closes_relay && !only_warns,
                Element::Class(name) => {
                    depth < 100 && self.lists.class(name).is_some_and(|l| self.is_closed(&l, depth + 1))
                }
                _ => false,
            }
        })
    }
}
