//! `permit_sasl_authenticated`: the client has logged in (RFC 4954).

use super::{Ahead, Permits, Rule};
use crate::Verdict;

pub(crate) static RULE: Rule = Rule {
    permits: Permits::Client,
    ahead: Ahead::Login,
    ..Rule::new("permit_sasl_authenticated", |c| {
        if c.facts.login.is_some() { Verdict::Permit.into() } else { Verdict::Dunno.into() }
    })
};
