//! `reject_spf_softfail`: the domain of the sender says that this client may not, or probably may not, send for it (RFC 7208
//! 8.4, 8.5; an extension).

use super::{Rule, spf};
use base_auth::spf::{Identity, SpfResult};

pub(crate) static RULE: Rule = Rule::new("reject_spf_softfail", |c| {
    spf::judge(c, Identity::MailFrom, |s| {
        matches!(s.result, SpfResult::Fail | SpfResult::SoftFail).then(|| spf::failure(s))
    })
});
