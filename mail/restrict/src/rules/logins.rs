//! Shared by the four restrictions that compare the sender with the login name: `smtpd_sender_login_maps`.

use super::{Context, Rule, addresses::lookup_key, lookup_failure};
use crate::{Refusal, Verdict, verdict::Answer};
use base_calls::AddressClass;
use base_tables::AddressForms;
use proto_dsn::Status;

/// Who is refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refuses {
    /// A client that has not logged in, for a sender that has owners.
    pub(super) strangers: bool,
    /// A client that has logged in, for a sender of somebody else.
    pub(super) others: bool,
    /// The same for a sender that nobody owns.
    pub(super) unowned: bool,
    /// Names that are told when clients cannot log in here at all: the rule's own, or those that it stands for.
    pub(super) told: &'static [&'static str],
}

/// A restriction without argument.
pub(super) const fn record(name: &'static str, check: for<'a> fn(Context<'a>) -> Answer<'a>) -> Rule {
    Rule::new(name, check)
}

pub(super) fn check(c: Context<'_>, refuses: Refuses) -> Answer<'_> {
    if !c.has_sasl(refuses.told) {
        return Verdict::Dunno.into();
    }
    let Some((sender, subject)) = c.sender() else { return Verdict::Dunno.into() };
    if sender.is_empty() {
        return Verdict::Dunno.into();
    }
    Answer::later(async move {
        let refuse = |text: &str| Verdict::Reject(Refusal::of(&subject, 553, Status::new(5, 7, 1), text));
        let key = match lookup_key(&c, sender, &subject).await {
            Ok(key) => key,
            Err(verdict) => return verdict,
        };
        let owners = match owners(&c, &key).await {
            Ok(owners) => owners,
            Err(()) => return Verdict::Reject(lookup_failure(&subject)),
        };
        match (c.facts.sasl_username(), owners) {
            (None, Some(_)) if refuses.strangers => refuse("not logged in"),
            (Some(user), Some(owners)) if refuses.others && !owns(&owners, user) => {
                refuse(&format!("not owned by user {user}"))
            }
            (Some(user), None) if refuses.unowned => refuse(&format!("not owned by user {user}")),
            _ => Verdict::Dunno,
        }
    })
}

async fn owners(c: &Context<'_>, sender: &str) -> Result<Option<String>, ()> {
    let maps = &c.restrict.matches.login_maps;
    if maps.is_empty() {
        return Ok(None);
    }
    let local = c.resolve(sender).await.is_ok_and(|r| r.class == AddressClass::Local);
    let forms = AddressForms::rewriting(local);
    let found = maps.find_address(sender, &c.restrict.config.delimiter, forms).await;
    found.map(|hit| hit.map(|(owners, _)| owners)).map_err(drop)
}

fn owns(owners: &str, user: &str) -> bool {
    owners.split([',', ' ', '\t', '\r', '\n']).any(|o| o.eq_ignore_ascii_case(user))
}
