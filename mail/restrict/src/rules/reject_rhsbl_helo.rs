//! `reject_rhsbl_helo domain[=value]`: the HELO name is in a DNS list.

use super::{About, Rule, dns::refusing};

pub(crate) static RULE: Rule = refusing("reject_rhsbl_helo", About::Helo);
