//! `permit_naked_ip_address`: the HELO name is an address without brackets. Removed in Postfix 3.9; does what it did.

use super::Rule;
use crate::Verdict;
use proto_address::valid_ip;

pub(crate) static RULE: Rule = Rule::new("permit_naked_ip_address", |c| {
    c.warning(
        "restriction permit_naked_ip_address is deprecated. Use permit_mynetworks or permit_sasl_authenticated instead"
            .to_owned(),
    );
    if c.facts.helo.is_some_and(valid_ip) { Verdict::Permit.into() } else { Verdict::Dunno.into() }
});
