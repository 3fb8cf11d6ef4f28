//! `reject_non_fqdn_recipient`: the recipient has no fully qualified domain (`non_fqdn_reject_code`).

use super::{Rule, addresses::non_fqdn};
use crate::Verdict;

pub(crate) static RULE: Rule = Rule::new("reject_non_fqdn_recipient", |c| match c.recipient() {
    Some((recipient, subject)) => non_fqdn(&c, recipient, &subject).into(),
    None => Verdict::Dunno.into(),
});
