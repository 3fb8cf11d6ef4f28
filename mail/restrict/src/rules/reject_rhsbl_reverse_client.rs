//! `reject_rhsbl_reverse_client domain[=value]`: the client's name, whether it leads back or not, is in a DNS list.

use super::{About, Rule, dns::refusing};

pub(crate) static RULE: Rule = refusing("reject_rhsbl_reverse_client", About::ReverseClient);
