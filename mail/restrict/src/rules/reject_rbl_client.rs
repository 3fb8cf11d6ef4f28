//! `reject_rbl_client domain[=value]` (once `reject_rbl`): the client's address is in a DNS list.

use super::{About, Rule, dns::refusing};

pub(crate) static RULE: Rule = refusing("reject_rbl_client", About::Address);
pub(crate) static OLD_NAME: Rule = refusing("reject_rbl", About::Address);
