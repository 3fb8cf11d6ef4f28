//! Shared by `reject_unlisted_sender` and `_recipient`: the reply for each address class.

use super::{Context, lookup_failure};
use crate::{
    Refusal, Verdict,
    verdict::{Kind, Subject},
};
use base_calls::{AddressClass, Unlisted};
use proto_dsn::Status;

pub(super) async fn unlisted(c: &Context<'_>, address: &str, subject: &Subject) -> Verdict {
    if address.is_empty() {
        return Verdict::Dunno;
    }
    match c.restrict.route.unlisted(&c.standard_form(address)).await {
        Ok(None) => Verdict::Dunno,
        Ok(Some(Unlisted::Class(class))) => Verdict::Reject(refusal(c, class, subject)),
        Ok(Some(Unlisted::Undeliverable { permanent, text })) => {
            Verdict::Reject(undeliverable(permanent, &text, subject))
        }
        Err(_) => Verdict::Reject(lookup_failure(subject)),
    }
}

fn undeliverable(permanent: bool, text: &str, subject: &Subject) -> Refusal {
    let default = Status::new(5, 1, if subject.kind == Kind::Sender { 0 } else { 1 });
    let (own, text) = Status::split_prefix(text).map_or((None, text), |(s, t)| (Some(s), t));
    let text = if text.is_empty() { "Address is undeliverable" } else { text };
    Refusal::of(subject, if permanent { 550 } else { 450 }, own.unwrap_or(default), text)
}

fn refusal(c: &Context<'_>, class: AddressClass, subject: &Subject) -> Refusal {
    let codes = &c.restrict.config.codes;
    let (code, table) = match class {
        AddressClass::VirtualAlias => (codes.unknown_virtual_alias, "virtual alias"),
        AddressClass::VirtualMailbox => (codes.unknown_virtual_mailbox, "virtual mailbox"),
        AddressClass::Relay => (codes.unknown_relay_recipient, "relay recipient"),
        AddressClass::Local | AddressClass::Default => (codes.unknown_local_recipient, "local recipient"),
    };
    let text = if c.restrict.config.show_table_name {
        format!("User unknown in {table} table")
    } else {
        "User unknown".to_owned()
    };
    let detail = if subject.kind == Kind::Sender { 0 } else { 1 };
    Refusal::of(subject, code, Status::new(5, 1, detail), &text)
}
