//! `check_{client,reverse_client_hostname,helo,sender,recipient}_a_access type:table`: the addresses of the domain in question.
//! `OK` is not allowed. access(5).

use super::{
    About, Rule,
    servers::{Of, check, record},
};

pub(crate) static CLIENT: Rule = record("check_client_a_access", About::Client, |c| check(c, Of::A));
pub(crate) static REVERSE_CLIENT: Rule =
    record("check_reverse_client_hostname_a_access", About::ReverseClient, |c| check(c, Of::A));
pub(crate) static HELO: Rule = record("check_helo_a_access", About::Helo, |c| check(c, Of::A));
pub(crate) static SENDER: Rule = record("check_sender_a_access", About::Sender, |c| check(c, Of::A));
pub(crate) static RECIPIENT: Rule = record("check_recipient_a_access", About::Recipient, |c| check(c, Of::A));
