//! `reject_rhsbl_sender domain[=value]`: the domain of the sender is in a DNS list.

use super::{About, Rule, dns::refusing};

pub(crate) static RULE: Rule = refusing("reject_rhsbl_sender", About::Sender);
