//! `permit_dnswl_client domain[=value]`: the client's address is in a DNS list of those who are welcome. Never permits to
//! relay; when the list does not answer, a refusal later in the list becomes a temporary one.

use super::{About, Rule, dns::welcoming};

pub(crate) static RULE: Rule = welcoming("permit_dnswl_client", About::Address);
