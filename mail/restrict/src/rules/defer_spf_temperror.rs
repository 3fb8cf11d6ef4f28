//! `defer_spf_temperror`: the SPF records of the sender's domain are not available for now (RFC 7208 8.6; an extension).

use super::{Rule, spf};
use base_auth::spf::{Identity, SpfResult};
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::new("defer_spf_temperror", |c| {
    spf::judge(c, Identity::MailFrom, |s| {
        let text = || "SPF validation error: try again later".to_owned();
        (s.result == SpfResult::TempError).then(|| (451, Status::new(4, 7, 24), text()))
    })
});
