//! `reject_rhsbl_client domain[=value]`: the client's name is in a DNS list.

use super::{About, Rule, dns::refusing};

pub(crate) static RULE: Rule = refusing("reject_rhsbl_client", About::Client);
