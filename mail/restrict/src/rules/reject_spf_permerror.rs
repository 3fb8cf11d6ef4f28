//! `reject_spf_permerror`: the SPF records of the sender's domain make no sense (RFC 7208 8.7; an extension).

use super::{Rule, spf};
use base_auth::spf::{Identity, SpfResult};
use proto_dsn::Status;

pub(crate) static RULE: Rule = Rule::new("reject_spf_permerror", |c| {
    spf::judge(c, Identity::MailFrom, |s| {
        let problem = s.problem.unwrap_or_default();
        let text = || format!("SPF validation error: {}: {problem}", s.domain);
        (s.result == SpfResult::PermError).then(|| (550, Status::new(5, 7, 24), text()))
    })
});
