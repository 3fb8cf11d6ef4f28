//! `reject_spf_fail`: the domain of the sender says that this client may not send for it (RFC 7208 8.4; an extension).

use super::{Rule, spf};
use base_auth::spf::{Identity, SpfResult};

pub(crate) static RULE: Rule = Rule::new("reject_spf_fail", |c| {
    spf::judge(c, Identity::MailFrom, |s| (s.result == SpfResult::Fail).then(|| spf::failure(s)))
});
