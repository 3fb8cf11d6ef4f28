//! `reject_non_fqdn_sender`: the sender has no fully qualified domain (`non_fqdn_reject_code`).

use super::{Rule, addresses::non_fqdn};
use crate::Verdict;

pub(crate) static RULE: Rule = Rule::new("reject_non_fqdn_sender", |c| match c.sender() {
    Some((sender, subject)) => non_fqdn(&c, sender, &subject).into(),
    None => Verdict::Dunno.into(),
});
