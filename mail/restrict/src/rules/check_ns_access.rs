//! `check_{client,reverse_client_hostname,helo,sender,recipient}_ns_access type:table`: the name servers (names and addresses) of the domain in question.
//! `OK` is not allowed. access(5).

use super::{
    About, Rule,
    servers::{Of, check, record},
};

pub(crate) static CLIENT: Rule = record("check_client_ns_access", About::Client, |c| check(c, Of::Ns));
pub(crate) static REVERSE_CLIENT: Rule =
    record("check_reverse_client_hostname_ns_access", About::ReverseClient, |c| check(c, Of::Ns));
pub(crate) static HELO: Rule = record("check_helo_ns_access", About::Helo, |c| check(c, Of::Ns));
pub(crate) static SENDER: Rule = record("check_sender_ns_access", About::Sender, |c| check(c, Of::Ns));
pub(crate) static RECIPIENT: Rule =
    record("check_recipient_ns_access", About::Recipient, |c| check(c, Of::Ns));
