//! `reject_rhsbl_recipient domain[=value]`: the domain of the recipient is in a DNS list.

use super::{About, Rule, dns::refusing};

pub(crate) static RULE: Rule = refusing("reject_rhsbl_recipient", About::Recipient);
