//! `reject_spf_helo_fail`: the domain of the HELO name says that this client does not have that name (RFC 7208 2.3; an extension).

use super::{Rule, spf};
use base_auth::spf::{Identity, SpfResult};

pub(crate) static RULE: Rule = Rule::new("reject_spf_helo_fail", |c| {
    spf::judge(c, Identity::Helo, |s| (s.result == SpfResult::Fail).then(|| spf::failure(s)))
});
